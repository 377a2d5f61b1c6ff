/**
 * A person with a browser: it keeps the cookies of each host and follows redirects by hand, so that a
 * story sees every step. Forms and links of a page are used by what they say.
 */
export interface Page {
  readonly status: number;
  readonly url: URL;
  readonly headers: Headers;
  readonly html: string;
  /** Every address on the way, this one last. */
  readonly way: readonly URL[];
}

export interface BrowserOptions {
  /** Who signs in wherever somebody is asked to. */
  readonly person: string;
  /** Says no wherever somebody is asked for consent. */
  readonly declines?: boolean;
  /** Where a host really is: the machines behind a load balancer, each tried in turn. */
  readonly behind?: Readonly<Record<string, () => readonly string[]>>;
}

const MOST_REDIRECTS = 20;

export class Browser {
  readonly #options: BrowserOptions;
  readonly #cookies = new Map<string, Map<string, string>>();
  #turn = 0;

  constructor(options: BrowserOptions) {
    this.#options = options;
  }

  /** Every `Set-Cookie` that it was given, as it was given. */
  readonly given: string[] = [];

  open(url: string | URL): Promise<Page> {
    return this.#follow(new URL(url), undefined);
  }

  /** Goes on until it would leave for this host, and stays; answers where it would have gone. */
  async until(url: string | URL, host: string): Promise<URL> {
    let at = new URL(url);
    for (let hops = 0; hops < MOST_REDIRECTS; hops += 1) {
      const location = (await this.#ask(at, undefined)).headers.get('location');
      if (location === null) throw new Error(`it ends at ${at.pathname}`);
      at = new URL(location, at);
      if (at.host === host) return at;
    }
    throw new Error('there is no end of redirects');
  }

  /** Loses a cookie of this host. */
  forget(host: string, name: string): void {
    this.#cookies.get(host)?.delete(name);
  }

  submit(page: Page, fields: Readonly<Record<string, string>> = {}): Promise<Page> {
    const action = /<form[^>]+action="([^"]+)"/.exec(page.html)?.[1] ?? '';
    const hidden = [...page.html.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)">/g)];
    const form = new URLSearchParams();
    for (const [, name = '', value = ''] of hidden) form.set(name, value);
    for (const [name, value] of Object.entries(fields)) form.set(name, value);
    return this.#follow(new URL(action, page.url), form);
  }

  async #follow(to: URL, form: URLSearchParams | undefined): Promise<Page> {
    const way: URL[] = [];
    for (let at = to, body = form; way.length < MOST_REDIRECTS; body = undefined) {
      way.push(at);
      const response = await this.#ask(at, body);
      const location = response.headers.get('location');
      const html = await response.text();
      if (location === null)
        return { status: response.status, url: at, headers: response.headers, html, way };
      at = new URL(location, at);
    }
    throw new Error('there is no end of redirects');
  }

  async #ask(url: URL, body: URLSearchParams | undefined): Promise<Response> {
    const jar = this.#cookies.get(url.host) ?? new Map<string, string>();
    this.#cookies.set(url.host, jar);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const { person, declines = false } = this.#options;
    const headers = {
      'x-person': person,
      ...(declines ? { 'x-declines': 'yes' } : {}),
      ...(cookie === '' ? {} : { cookie }),
    };
    const response = await fetch(this.#placeOf(url), {
      redirect: 'manual',
      headers,
      ...(body === undefined ? {} : { method: 'POST', body }),
    });
    for (const set of response.headers.getSetCookie()) {
      this.given.push(set);
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(set) ?? [];
      if (value === '' || /max-age=0/i.test(set)) jar.delete(name);
      else jar.set(name, value);
    }
    return response;
  }

  #placeOf(url: URL): URL {
    const places = this.#options.behind?.[url.host]?.();
    if (places === undefined) return url;
    this.#turn += 1;
    const place = new URL(url);
    place.host = places[this.#turn % places.length] ?? '';
    // TLS ends before them.
    place.protocol = 'http:';
    return place;
  }
}
