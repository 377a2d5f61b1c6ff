import * as v from 'valibot';
import { section, text } from '../shared/config/section.ts';

/** What several parts of the configuration file are made of. */

export function httpUrl() {
  return v.pipe(text(), v.regex(/^https?:\/\/[^\s#]+$/, 'expected an http or https URL without a fragment'));
}

/** A secret is never written in the file: it is read from another file or from the environment. */
export function secret() {
  return v.pipe(
    section({ file: v.optional(text()), env: v.optional(text()) }),
    v.check(
      ({ file, env }) => (file === undefined) !== (env === undefined),
      'expected either file or env, naming where the secret is',
    ),
  );
}

export type SecretSource = v.InferOutput<ReturnType<typeof secret>>;

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** What the mesh itself says to a backend. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  'accept',
  'accept-encoding',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'host',
  'last-event-id',
  'mcp-protocol-version',
  'mcp-session-id',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

export function headerName() {
  return v.pipe(
    text(),
    v.regex(HEADER_NAME, 'expected the name of an HTTP header'),
    v.check((value) => !OWN_HEADERS.has(value.toLowerCase()), 'this header belongs to the mesh'),
  );
}

export const HeaderValue = v.pipe(
  v.string('expected a text'),
  v.regex(/^[\t\x20-\x7e\x80-\xff]*$/, 'expected a header value: one line of Latin-1 text'),
);
