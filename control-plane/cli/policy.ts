import { readFileSync } from 'node:fs';
import { ConfigError } from '../../shared/config/parse.ts';
import type { Environment } from '../../shared/config/variables.ts';
import { loadSettings } from '../config.ts';
import { checkPolicy, renderCheck } from '../policy-check.ts';

export const KINDS = ['tool', 'prompt', 'resource', 'template'] as const;
export const ACTIONS = ['list', 'call', 'read', 'get', 'subscribe', 'complete'] as const;

/** What the command line says. */
export interface PolicyOptions {
  readonly config: string;
  readonly claims?: string;
  readonly tokenFile?: string;
  readonly anonymous?: boolean;
  readonly action: (typeof ACTIONS)[number];
  readonly kind: (typeof KINDS)[number];
  readonly backend: string;
  readonly name: string;
  readonly visible?: string;
  readonly annotations?: string;
  readonly arguments?: string;
  readonly output: 'text' | 'json';
}

/** Explains a decision. Returns what to print, and whether it is allowed. Throws `ConfigError`. */
export function policyCheck(
  options: PolicyOptions,
  around: { readonly env: Environment; readonly cwd: string },
): { readonly text: string; readonly allowed: boolean } {
  const settings = loadSettings({ file: options.config, ...around });
  for (const member of ['annotations', 'arguments'] as const) parseObject(member, options[member]);
  const result = checkPolicy({
    settings,
    claims: claimsOf(options),
    action: options.action,
    kind: options.kind,
    backend: options.backend,
    name: options.name,
    visible: options.visible,
    annotations: options.annotations,
    arguments: options.arguments,
  });
  const text = options.output === 'json' ? JSON.stringify(result, null, 2) : renderCheck(result);
  return { text: `${text}\n`, allowed: result.decision === 'allow' };
}

function claimsOf({ claims, tokenFile, anonymous }: PolicyOptions): Record<string, unknown> | undefined {
  const given = [claims, tokenFile, anonymous].filter((each) => each !== undefined);
  if (given.length !== 1) throw new ConfigError(['say who asks: --claims, --token-file or --anonymous']);
  if (tokenFile !== undefined) return claimsIn(tokenFile);
  return parseObject('claims', claims);
}

/** Of a JWT, which is read and not verified: what it would permit, not whether it is one. */
function claimsIn(file: string): Record<string, unknown> | undefined {
  let token: string;
  try {
    // 0 is standard input: what stands on a command line can be read by everybody.
    token = readFileSync(file === '-' ? 0 : file, 'utf8').trim();
  } catch {
    throw new ConfigError([`--token-file: cannot read ${file}`]);
  }
  const [, payload] = token.split('.');
  if (payload === undefined)
    throw new ConfigError(['--token-file: expected a JWT; give an opaque token\u2019s claims with --claims']);
  return parseObject('token-file', Buffer.from(payload, 'base64url').toString('utf8'));
}

function parseObject(option: string, text: string | undefined): Record<string, unknown> | undefined {
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  } catch {
    // As for any other text that is no object.
  }
  throw new ConfigError([`--${option}: expected a JSON object`]);
}
