import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { parseAllDocuments } from 'yaml';
import { inject } from '../../control-plane/injector/inject.ts';
import type { Json } from '../../control-plane/injector/json.ts';
import { changeManifest } from '../../control-plane/injector/manifest.ts';
import { uninject } from '../../control-plane/injector/uninject.ts';
import { verifies } from '../requirements.ts';
import { kubernetesFaults } from '../support/kubernetes.ts';
import { SETTINGS } from './settings.ts';

/**
 * Every kind of workload, as it is written and as it is injected. After a
 * change on purpose, `node --import tsx test/injector/write-golden.ts` writes the latter anew.
 */
const FOLDER = join(import.meta.dirname, 'golden');
/** Aliases of what was changed are written out, and JSON has one layout. */
const REWRITTEN: ReadonlySet<string> = new Set(['replicaset.yaml', 'json.json']);
const NAMES = readdirSync(join(FOLDER, 'in'));

describe('injected manifests', () => {
  it('there is one for every kind of workload', () => {
    const kinds = NAMES.flatMap((name) => objectsOf(read('in', name))).map((object) =>
      Reflect.get(object, 'kind'),
    );
    expect(kinds).to.include.members(
      'Pod Deployment StatefulSet DaemonSet ReplicaSet ReplicationController Job CronJob List'.split(' '),
    );
  });

  for (const name of NAMES) {
    it(verifies('X3')(`${name} is what it should be, also when it is injected twice`), () => {
      const { text } = changeManifest(read('in', name), injected);
      expect(text).to.equal(read('out', name));
      const twice = changeManifest(text, injected);
      expect(twice.text).to.equal(text);
      expect(twice.outcomes.map(({ reason }) => reason)).not.to.include('injected');
      const back = changeManifest(text, uninject).text;
      expect(objectsOf(back)).to.deep.equal(objectsOf(read('in', name)));
      if (!REWRITTEN.has(name)) expect(back).to.equal(read('in', name));
      expect(objectsOf(text).flatMap(kubernetesFaults)).to.deep.equal([]);
    });
  }
});

function injected(object: Json) {
  return inject(object, { settings: SETTINGS, demandOptIn: false });
}

function read(folder: 'in' | 'out', name: string): string {
  return readFileSync(join(FOLDER, folder, name), 'utf8');
}

function objectsOf(text: string): object[] {
  return parseAllDocuments(text, { version: '1.1' })
    .map((document) => document.toJS() as object | null)
    .filter((object) => object !== null);
}
