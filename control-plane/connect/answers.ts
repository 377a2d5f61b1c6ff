import { messagePage } from './pages.ts';

export interface PageAnswer {
  readonly status: number;
  readonly cookies?: readonly string[];
  readonly location?: string;
  readonly html?: string;
  /** JSON, instead of a page. */
  readonly document?: string;
}

/** The login is there. */
export function done(): PageAnswer {
  const sentence = 'You can close this page and go back to your agent.';
  return { status: 200, html: messagePage('You are logged in', [sentence]) };
}

/** The link was made for somebody else. */
export function anothers(): PageAnswer {
  const sentences = [
    'It was made for another person than the one who is signed in here, so nothing was done.',
    'If it is yours, sign out at your identity provider, or use another browser profile, and open it again.',
    'If somebody sent it to you, do not open it again.',
  ];
  return { status: 403, html: messagePage('This link is not yours', sentences) };
}

/** The link is none, or none any more. */
export function over(): PageAnswer {
  const sentence = 'Links can be opened once, within ten minutes. Ask your agent again to get another.';
  return { status: 410, html: messagePage('This link is no good any more', [sentence]) };
}

/** What came back is not what was sent away. */
export function astray(): PageAnswer {
  const sentences = [
    'This browser did not begin what it has come back with, or began it too long ago.',
    'Allow cookies for this site, and open the link of your agent in one browser from beginning to end.',
  ];
  return { status: 400, html: messagePage('This did not work', sentences) };
}

/** The provider, or the person there, said no. */
export function refused(): PageAnswer {
  const sentence = 'It was refused where you were sent. Ask your agent again to get another link.';
  return { status: 403, html: messagePage('You are not logged in', [sentence]) };
}

/** The provider, the issuer or the store does not answer. */
export function failed(status: number): PageAnswer {
  const sentence = 'Something that is needed for this does not answer at the moment. Try again in a minute.';
  return { status, html: messagePage('This did not work', [sentence]) };
}

export function notFound(): PageAnswer {
  return { status: 404, html: messagePage('There is no such page', []) };
}

export function wrongMethod(): PageAnswer {
  return { status: 405, html: messagePage('This page cannot be used like that', []) };
}
