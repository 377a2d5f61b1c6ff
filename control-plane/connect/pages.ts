import { createHash } from 'node:crypto';

/** The pages that people see: no script, nothing from anywhere else, light or dark as they have it. */

const STYLE = `
:root { color-scheme: light dark; }
body { font: 1.125rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 10vh auto; padding: 0 1.5rem;
  background: light-dark(#fff, #16181d); color: light-dark(#1b1f24, #e8eaed); }
h1 { font-size: 1.6rem; line-height: 1.25; }
a { color: light-dark(#0b57d0, #8ab4f8); }
ul { padding: 0; list-style: none; }
li { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; padding: .75rem 0;
  border-top: 1px solid light-dark(#d0d4da, #3a3f47); }
li span { flex: 1; }
button { font: inherit; padding: .35rem 1rem; border-radius: .4rem; cursor: pointer;
  border: 1px solid currentcolor; background: transparent; color: inherit; }
:focus-visible { outline: 3px solid light-dark(#0b57d0, #8ab4f8); outline-offset: 2px; }
`;

const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');

/** With every answer. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy': `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`,
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

/** One login as its owner sees it. */
export interface LoginRow {
  readonly login: string;
  /** Whether there is one. */
  readonly kept: boolean;
  /** Leads to the provider. */
  readonly link: string;
}

/** A page with a heading and a few sentences. */
export function messagePage(title: string, sentences: readonly string[]): string {
  return page(title, sentences.map((each) => `<p>${inHtml(each)}</p>`).join('\n'));
}

/** Where several issuers may say who somebody is. */
export function issuersPage(issuers: readonly { readonly issuer: string; readonly link: string }[]): string {
  const rows = issuers.map(
    ({ issuer, link }) => `<li><a href="${inHtml(link)}">Sign in at ${inHtml(issuer)}</a></li>`,
  );
  return page('Sign in', `<ul>\n${rows.join('\n')}\n</ul>`);
}

export function loginsPage(
  rows: readonly LoginRow[],
  { form, action }: { readonly form: string; readonly action: string },
): string {
  const list = rows.map((row) => {
    const name = inHtml(row.login);
    const hidden = `<input type="hidden" name="login" value="${name}"><input type="hidden" name="form" value="${inHtml(form)}">`;
    const control = row.kept
      ? `<form method="post" action="${inHtml(action)}">${hidden}<button aria-label="Log out of ${name}">Log out</button></form>`
      : `<a href="${inHtml(row.link)}" aria-label="Log in to ${name}">Log in</a>`;
    return `<li><span>${name}: ${row.kept ? 'logged in' : 'not logged in'}</span>${control}</li>`;
  });
  return page(
    'Your logins',
    `<p>What your agents may use in your name.</p>\n<ul>\n${list.join('\n')}\n</ul>`,
  );
}

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${inHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${inHtml(title)}</h1>
${body}
</main>
</body>
</html>
`;
}

function inHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
