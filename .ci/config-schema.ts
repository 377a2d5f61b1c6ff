import { type JsonSchema, toJsonSchema } from '@valibot/to-json-schema';
import type * as v from 'valibot';
import { GrpcAddress, GrpcAddressOrSection, GrpcSection } from '../control-plane/config-listen.ts';
import { BackendEntry, ConfigFile, HttpEntry, StdioEntry } from '../control-plane/config-schema.ts';

/** The JSON Schema (draft 7) of a configuration file as it is written, before variables are expanded. */
export function configSchema(): JsonSchema {
  return { ...convert(ConfigFile), title: 'Outrigger configuration' };
}

/** What is decided by the shape of the input, and what it may be. */
const LAZY: ReadonlyMap<unknown, readonly v.GenericSchema[]> = new Map<unknown, readonly v.GenericSchema[]>([
  [BackendEntry, [HttpEntry, StdioEntry]],
  [GrpcAddressOrSection, [GrpcAddress, GrpcSection]],
]);

function convert(schema: v.GenericSchema): JsonSchema {
  return toJsonSchema(schema, {
    typeMode: 'input',
    errorMode: 'ignore',
    overrideSchema: ({ valibotSchema }) => {
      const either = LAZY.get(valibotSchema);
      return either && { anyOf: either.map(withoutDialect) };
    },
  });
}

function withoutDialect(schema: v.GenericSchema): JsonSchema {
  const { $schema: _dialect, ...rest } = convert(schema);
  return rest;
}
