import { expect } from 'chai';
import { boundaryViolations } from './boundaries.ts';
import { importsOf } from './imports.ts';
import { readSources } from './source-files.ts';

const FOLDERS = ['shared', 'sidecar', 'control-plane', 'test'];

describe('import boundaries', () => {
  const files = readSources(FOLDERS);

  it('looked: every folder has files, and they have imports', () => {
    for (const folder of FOLDERS) {
      const inside = [...files].filter(([path]) => path.startsWith(`${folder}/`));
      expect(inside, folder).to.not.be.empty;
      expect(
        inside.flatMap(([, source]) => importsOf(source)),
        folder,
      ).to.not.be.empty;
    }
  });

  it('finds every import that the source holds', () => {
    for (const [path, source] of files) {
      if (path.startsWith('test/gates/')) continue;
      const lines = source
        .split('\n')
        .filter((line) => /^(import\b|\} from ').*';$|^export .* from '/.test(line));
      const statements = lines.filter((line) => / from '|^import '/.test(line));
      expect(importsOf(source).length, path).to.be.at.least(statements.length);
    }
  });

  it('are kept', () => {
    const violations = boundaryViolations(files);
    expect(violations, `\n${violations.join('\n')}\n`).to.deep.equal([]);
  });
});

describe('the boundary gate bites', () => {
  const planted: readonly (readonly [rule: string, path: string, source: string])[] = [
    [
      'the sidecar imports the control plane',
      'sidecar/http/a.ts',
      "import { a } from '../../control-plane/rpc/a.ts';",
    ],
    ['even for a type', 'control-plane/rpc/a.ts', "import type { A } from '../../sidecar/mesh/a.ts';"],
    ['shared imports a program', 'shared/log.ts', "export { a } from '../sidecar/mesh/a.ts';"],
    ['the product imports a test', 'shared/log.ts', "import { a } from '../test/support/a.ts';"],
    ['somebody imports an entry point', 'control-plane/cli/up.ts', "import '../main.ts';"],
    ['a test imports an entry point', 'test/e2e/a.test.ts', "import { main } from '../../sidecar/main.ts';"],
    ['gRPC away from home', 'sidecar/http/a.ts', "import { status } from '@grpc/grpc-js';"],
    ['Redis away from home', 'control-plane/session/a.ts', "import { Redis } from 'ioredis';"],
    [
      'the tracing SDK where everybody loads it',
      'shared/telemetry/tracer.ts',
      "import { trace } from '@opentelemetry/api';",
    ],
    ['undici away from home', 'control-plane/credentials/a.ts', "import { Agent } from 'undici';"],
    [
      'a client transport away from home',
      'control-plane/rpc/a.ts',
      "import { A } from '@modelcontextprotocol/sdk/client/stdio.js';",
    ],
    ['jose away from home', 'control-plane/session/manager.ts', "import { jwtVerify } from 'jose';"],
    ['an HTTP server away from home', 'control-plane/rpc/a.ts', "import { createServer } from 'node:http';"],
    ['the store imports a session', 'control-plane/store/a.ts', "import { a } from '../session/a.ts';"],
    [
      'a session imports one store',
      'control-plane/session/a.ts',
      "import { RedisStore } from '../store/redis-store.ts';",
    ],
    [
      'a strategy imports identity',
      'control-plane/credentials/a.ts',
      "import { a } from '../identity/a.ts';",
    ],
    [
      'one value among the types',
      'control-plane/backend/a.ts',
      "import { type A, b } from '../session/a.ts';",
    ],
    ['a dynamic import', 'control-plane/store/a.ts', "const a = await import('../session/a.ts');"],
    ['a computed import', 'control-plane/store/a.ts', 'const a = await import(name);'],
    ['an import over several lines', 'shared/a.ts', "import {\n  a,\n  b,\n} from '../sidecar/mesh/a.ts';"],
    ['an unknown folder', 'control-plane/utils/a.ts', "import { a } from '../session/a.ts';"],
    ['the environment read anywhere', 'sidecar/http/a.ts', 'const home = process.env.HOME;'],
  ];

  for (const [rule, path, source] of planted) {
    it(rule, () => {
      expect(boundaryViolations(new Map([[path, `${source}\n`]]))).to.have.length(1);
    });
  }

  it('and lets pass what is allowed', () => {
    const allowed = new Map([
      ['control-plane/store/a.ts', "import type { A } from '../session/a.ts';\n"],
      ['control-plane/backend/b.ts', "import { type A, type B } from '../identity/caller.ts';\n"],
      ['control-plane/session/c.ts', "import { derive } from '../identity/caller.ts';\n"],
      ['control-plane/session/record-crypto.ts', "import { CompactEncrypt } from 'jose';\n"],
      ['control-plane/compose.ts', "import { a } from './store/redis-store.ts';\n"],
      ['control-plane/config.ts', 'export const env = process.env;\n'],
      [
        'sidecar/mesh/d.ts',
        "// import '../../control-plane/main.ts'\nimport { status } from '@grpc/grpc-js';\n",
      ],
    ]);
    expect(boundaryViolations(allowed)).to.deep.equal([]);
  });
});
