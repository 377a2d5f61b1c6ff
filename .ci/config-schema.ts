import { type JsonSchema, toJsonSchema } from '@valibot/to-json-schema';
import type * as v from 'valibot';
import { BackendEntry, ConfigFile, HttpEntry, StdioEntry } from '../control-plane/config-schema.ts';

/** The JSON Schema (draft 7) of a configuration file as it is written, before variables are expanded. */
export function configSchema(): JsonSchema {
  return { ...convert(ConfigFile), title: 'Outrigger configuration' };
}

function convert(schema: v.GenericSchema): JsonSchema {
  return toJsonSchema(schema, {
    typeMode: 'input',
    errorMode: 'ignore',
    overrideSchema: ({ valibotSchema }) =>
      valibotSchema === BackendEntry ? { anyOf: [HttpEntry, StdioEntry].map(withoutDialect) } : undefined,
  });
}

function withoutDialect(schema: v.GenericSchema): JsonSchema {
  const { $schema: _dialect, ...rest } = convert(schema);
  return rest;
}
