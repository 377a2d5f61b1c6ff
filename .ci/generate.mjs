/**
 * Generates shared/rpc/gen from proto. `--check` writes nothing and exits 1 when
 * what is committed is not what the proto files give.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(import.meta.dirname, '..');
const SOURCE = join(root, 'proto/outrigger/mesh/v1/mesh.proto');
const TARGET = join(root, 'shared/rpc/gen');
const PBJS = fileURLToPath(import.meta.resolve('protobufjs-cli/bin/pbjs'));
const PBTS = fileURLToPath(import.meta.resolve('protobufjs-cli/bin/pbts'));
const SHAPE = [
  ['-t', 'static-module', '-w', 'es6', '-r', 'outrigger'],
  ['--no-create', '--no-verify', '--no-convert', '--no-delimited', '--no-typeurl', '--no-service'],
].flat();

function run(tool, args) {
  execFileSync(process.execPath, [tool, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
}

function generate() {
  const scratch = mkdtempSync(join(tmpdir(), 'outrigger-gen-'));
  try {
    const code = join(scratch, 'mesh.js');
    const commented = join(scratch, 'commented.js');
    const types = join(scratch, 'mesh.d.ts');
    run(PBJS, [...SHAPE, '--no-comments', '-o', code, SOURCE]);
    run(PBJS, [...SHAPE, '-o', commented, SOURCE]);
    run(PBTS, ['-o', types, commented]);
    return {
      // Node sees only the default export of a CommonJS package without an exports map.
      'mesh.js': readFileSync(code, 'utf8').replace(
        'import * as $protobuf from "protobufjs/minimal"',
        'import $protobuf from "protobufjs/minimal.js"',
      ),
      'mesh.d.ts': readFileSync(types, 'utf8').replace('import Long = require("long");\n', ''),
    };
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

const check = process.argv.includes('--check');
let stale = 0;
for (const [name, text] of Object.entries(generate())) {
  const file = join(TARGET, name);
  if (existsSync(file) && readFileSync(file, 'utf8') === text) continue;
  stale += 1;
  if (check) {
    console.error(`${file} is not what proto gives: run node .ci/generate.mjs`);
  } else {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
}
process.exitCode = check && stale > 0 ? 1 : 0;
