import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createRemoteJWKSet, jwtVerify } from 'jose';

/** The one operation of AWS STS that strategies use, over HTTP on loopback: web identity to temporary credentials. It has no policies and no accounts. */
export interface Sts extends AsyncDisposable {
  readonly url: string;
  /** What was asked, in order. */
  readonly asked: readonly URLSearchParams[];
  /** The secret key that belongs to an access key id. */
  secretOf(accessKeyId: string): string | undefined;
  /** The person whose token an access key was given for. */
  subjectOf(accessKeyId: string): string | undefined;
  refuse(yes: boolean): void;
}

export async function startSts(issuer: { readonly url: string; readonly jwksUri: string }): Promise<Sts> {
  const keys = createRemoteJWKSet(new URL(issuer.jwksUri));
  const asked: URLSearchParams[] = [];
  const given = new Map<string, { secret: string; subject: string }>();
  let refusing = false;
  const server = createServer((request, response) => {
    void answer().catch(() => response.destroy());
    async function answer() {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const form = new URLSearchParams(Buffer.concat(chunks).toString());
      asked.push(form);
      const verified = await jwtVerify(form.get('WebIdentityToken') ?? '', keys, {
        issuer: issuer.url,
      }).catch(() => undefined);
      const subject = verified?.payload.sub;
      response.setHeader('content-type', 'text/xml');
      if (refusing || subject === undefined) {
        response.writeHead(400).end(refusal('InvalidIdentityToken'));
        return;
      }
      const id = `ASIA${createHash('sha256').update(`${subject} ${asked.length}`).digest('hex').slice(0, 16)}`;
      const secret = createHash('sha256').update(`secret of ${id}`).digest('base64');
      given.set(id, { secret, subject });
      response.writeHead(200).end(assumed({ id, secret, subject }));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    asked,
    secretOf: (id) => given.get(id)?.secret,
    subjectOf: (id) => given.get(id)?.subject,
    refuse(yes) {
      refusing = yes;
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

function assumed({ id, secret, subject }: { id: string; secret: string; subject: string }): string {
  const expiration = new Date(Date.now() + 3_600_000).toISOString();
  return `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <SubjectFromWebIdentityToken>${subject}</SubjectFromWebIdentityToken>
    <Credentials>
      <SessionToken>session-of-${id}</SessionToken>
      <SecretAccessKey>${secret}</SecretAccessKey>
      <Expiration>${expiration}</Expiration>
      <AccessKeyId>${id}</AccessKeyId>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>`;
}

function refusal(code: string): string {
  return `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code><Message>no</Message></Error></ErrorResponse>`;
}
