#!/usr/bin/env node
/**
 * dist/outrigger.js: the `outrigger` command. This process becomes the program
 * that is asked for, by its entry point's path: `outrigger sidecar` holds a
 * sidecar and nothing else, and a signal to it is a signal to the sidecar.
 */
import { fileURLToPath } from 'node:url';

const programs = {
  'control-plane': 'control-plane.js',
  sidecar: 'sidecar.js',
  connect: 'connect.js',
  webhook: 'webhook.js',
  pins: 'pins.js',
  doctor: 'doctor.js',
};
const [name = '', ...rest] = process.argv.slice(2);
const asked = Object.hasOwn(programs, name) && !rest.includes('--help') && !rest.includes('-h');
const entry = new URL(asked ? programs[name] : 'cli.js', import.meta.url);
if (asked) process.argv.splice(1, 2, fileURLToPath(entry));
await import(entry);
