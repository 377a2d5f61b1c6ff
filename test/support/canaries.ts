/**
 * Secrets that a test plants, and the search for them. A secret is found whole or cut short, as it is
 * and as others may have written it: URL-encoded, escaped in JSON, in hex, in base64 and base64url, also
 * in the middle of something longer that was encoded.
 */

/** What may hold secrets. */
export interface Place {
  readonly name: string;
  readonly content: string | Buffer;
}

interface Form {
  readonly what: string;
  readonly bytes: Buffer;
}

/** Shorter pieces of a secret are found by chance. */
const PIECE = 16;

export class Canaries {
  readonly #forms: Form[] = [];

  /** Plants a text, or bytes that are no text. */
  add(name: string, secret: string | Buffer): void {
    const bytes = Buffer.from(secret);
    const forms = new Map<string, string>();
    if (typeof secret === 'string') {
      forms.set('as it is', secret);
      forms.set('URL-encoded', encodeURIComponent(secret));
      forms.set('in JSON', JSON.stringify(secret).slice(1, -1));
      if (secret.length >= 2 * PIECE) {
        forms.set('its beginning', secret.slice(0, PIECE));
        forms.set('its end', secret.slice(-PIECE));
      }
    }
    for (const [form, text] of [...forms].filter(([form]) => !form.startsWith('its'))) {
      for (const [name, encoded] of encodings(Buffer.from(text))) forms.set(`${form}, ${name}`, encoded);
    }
    if (typeof secret !== 'string') for (const [form, text] of encodings(bytes)) forms.set(form, text);
    for (const [form, text] of forms)
      this.#forms.push({ what: `${name}, ${form}`, bytes: Buffer.from(text) });
    if (typeof secret !== 'string') this.#forms.push({ what: `${name}, its bytes`, bytes });
  }

  /** A JSON Web Token, whole and by its three parts. */
  addToken(name: string, token: string): void {
    this.add(name, token);
    for (const [at, part] of token.split('.').entries()) this.add(`part ${at + 1} of ${name}`, part);
  }

  /** Every secret in these places: what, in which form, where. */
  in(places: Iterable<Place>): string[] {
    const found: string[] = [];
    for (const { name, content } of places) {
      const haystack = Buffer.from(content);
      for (const { what, bytes } of this.#forms) {
        const at = haystack.indexOf(bytes);
        if (at >= 0) found.push(`${what}, in ${name}: ${around(haystack, at, bytes.length)}`);
      }
    }
    return found;
  }
}

function encodings(bytes: Buffer): Map<string, string> {
  const hex = bytes.toString('hex');
  const forms = new Map([
    ['in hex', hex],
    ['in capital hex', hex.toUpperCase()],
  ]);
  for (const [at, text] of base64Within(bytes).entries()) {
    forms.set(`in base64 at ${at}`, text);
    forms.set(`in base64url at ${at}`, text.replaceAll('+', '-').replaceAll('/', '_'));
  }
  return forms;
}

/** What base64 makes of these bytes wherever they begin in a longer input: the characters that depend on them alone. */
function base64Within(bytes: Buffer): string[] {
  return [0, 1, 2].map((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
    const first = Math.ceil((before * 8) / 6);
    const last = Math.floor(((before + bytes.length) * 8) / 6);
    return encoded.slice(first, last);
  });
}

function around(haystack: Buffer, at: number, length: number): string {
  return haystack.subarray(Math.max(0, at - 120), at + length + 40).toString('latin1');
}
