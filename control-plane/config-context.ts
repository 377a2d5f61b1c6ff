import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Environment, Path, Problem } from '../shared/config/variables.ts';
import type { ReadFiles } from '../shared/config/watched-files.ts';
import { conceal } from '../shared/redact.ts';
import type { SecretSource } from './config-atoms.ts';
import type { Address } from './settings.ts';

/** What resolving a parsed file needs: where its paths start, the environment, and a place for problems. */
export class ConfigContext {
  readonly env: Environment;
  /** The folder of the configuration file: relative paths in it start there. */
  readonly folder: string;
  readonly problems: Problem[] = [];
  readonly #files: ReadFiles;

  constructor(options: { readonly env: Environment; readonly folder: string; readonly files: ReadFiles }) {
    this.env = options.env;
    this.folder = options.folder;
    this.#files = options.files;
  }

  problem(path: Path, message: string): void {
    this.problems.push({ path, message });
  }

  path(relative: string): string {
    return resolve(this.folder, relative);
  }

  /** Whether there is such a file. */
  isThere(name: string): boolean {
    return existsSync(this.path(name));
  }

  /** The text of a file named in the configuration; empty, and a problem, when it cannot be read. */
  file(path: Path, name: string): string {
    try {
      return this.#files.read(this.path(name));
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
      this.problem(path, `cannot read ${this.path(name)} (${code})`);
      return '';
    }
  }

  /** A secret out of a file (without the end of its last line) or the environment; never printed from now on. */
  secret(path: Path, source: SecretSource): string {
    if (source.file !== undefined)
      return this.#conceal(path, this.file([...path, 'file'], source.file).trimEnd());
    const value = this.env[source.env ?? ''] ?? '';
    if (value === '') this.problem([...path, 'env'], `the environment variable ${source.env} is not set`);
    return this.#conceal(path, value);
  }

  /** A private key in PEM, which has several lines; never printed from now on. */
  key(path: Path, source: SecretSource): string {
    const key =
      source.file === undefined
        ? (this.env[source.env ?? ''] ?? '')
        : this.file([...path, 'file'], source.file);
    for (const line of key.split('\n')) if (!line.startsWith('-----')) conceal(line.trim());
    if (!/-----BEGIN PRIVATE KEY-----[\s\S]+-----END PRIVATE KEY-----/.test(key))
      this.problem(path, 'expected a private key in PEM (PKCS #8, BEGIN PRIVATE KEY)');
    return key;
  }

  address(path: Path, written: string): Address {
    const colon = written.lastIndexOf(':');
    const port = Number(written.slice(colon + 1));
    if (port > 65_535) this.problem(path, 'expected a port of at most 65535');
    return { host: written.slice(0, colon).replace(/^\[|\]$/g, ''), port };
  }

  #conceal(path: Path, secret: string): string {
    conceal(secret);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
    if (/[\u0000-\u001f\u007f]/.test(secret)) this.problem(path, 'the secret is not one line of text');
    return secret;
  }
}
