import type { Path } from '../shared/config/variables.ts';
import type { Source } from './config-admission-schema.ts';
import type { ConfigContext } from './config-context.ts';
import { resolvePinning } from './config-pinning.ts';
import type { ConfigFile } from './config-schema.ts';
import type { AdmissionSettings, PolicySource } from './settings.ts';

export interface AdmissionOptions {
  /** The file of approved definitions need not be there: it is about to be written. */
  readonly unwrittenPins: boolean;
}

export function resolveAdmission(
  file: ConfigFile,
  context: ConfigContext,
  { unwrittenPins }: AdmissionOptions,
): AdmissionSettings {
  const { admission, mcpServers } = file;
  const policies = admission.policies.map((source, at) =>
    read(['admission', 'policies', at], source, context),
  );
  return {
    onMissingScope: admission.onMissingScope,
    groupsClaim: admission.groupsClaim,
    policies,
    entities: readEntities(admission.entities, context),
    schema: admission.schema && read(['admission', 'schema'], admission.schema, context),
    backends: new Map(
      Object.entries(mcpServers).map(([name, { requiredScopes, tools }]) => [
        name,
        {
          all: requiredScopes,
          tools: new Map(
            Object.entries(tools).flatMap(([tool, entry]) =>
              entry.requiredScopes.length === 0 ? [] : [[tool, entry.requiredScopes] as const],
            ),
          ),
        },
      ]),
    ),
    pinning: resolvePinning(file, context, unwrittenPins),
  };
}

function read(path: Path, source: Source, context: ConfigContext): PolicySource {
  if (source.file === undefined) return { name: path.join('.'), text: source.text ?? '' };
  return { name: source.file, text: context.file([...path, 'file'], source.file) };
}

function readEntities(source: Source | undefined, context: ConfigContext): readonly unknown[] {
  if (source === undefined) return [];
  const path = ['admission', 'entities'];
  const { text } = read(path, source, context);
  try {
    const entities: unknown = JSON.parse(text);
    if (Array.isArray(entities)) return entities;
  } catch {
    // As for any other text that is no list.
  }
  if (text !== '') context.problem(path, 'expected a JSON list of Cedar entities');
  return [];
}
