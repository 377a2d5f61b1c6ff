import { setTimeout as delay } from 'node:timers/promises';
import {
  type CallToolResult,
  type ElicitRequestFormParams,
  fromJsonSchema,
  type McpServer,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { RED_PIXEL_PNG, SILENT_WAV } from './media.ts';
import { DEFAULTS_FORM, ENUMS_FORM, JSON_SCHEMA_2020_12, USER_FORM } from './schemas.ts';

/** Registers the tools of the conformance suite: content of every kind, and conversations within a call. */
export function registerTools(server: McpServer): void {
  registerContentTools(server);
  registerStreamingTools(server);
  registerClientTools(server);
}

function registerContentTools(server: McpServer): void {
  const answer = (name: string, description: string, ...content: CallToolResult['content']) =>
    server.registerTool(name, { description }, async () => ({ content }));
  const image = {
    type: 'image' as const,
    data: RED_PIXEL_PNG,
    mimeType: 'image/png',
  };

  answer('test_simple_text', 'Answers with text', {
    type: 'text',
    text: 'This is a simple text response for testing.',
  });
  answer('test_image_content', 'Answers with an image', image);
  answer('test_audio_content', 'Answers with audio', {
    type: 'audio',
    data: SILENT_WAV,
    mimeType: 'audio/wav',
  });
  answer('test_embedded_resource', 'Answers with an embedded resource', {
    type: 'resource',
    resource: {
      uri: 'test://embedded-resource',
      mimeType: 'text/plain',
      text: 'This is an embedded resource content.',
    },
  });
  answer(
    'test_multiple_content_types',
    'Answers with text, an image and a resource',
    { type: 'text', text: 'Multiple content types test:' },
    image,
    {
      type: 'resource',
      resource: {
        uri: 'test://mixed-content-resource',
        mimeType: 'application/json',
        text: JSON.stringify({ test: 'data', value: 123 }),
      },
    },
  );
  server.registerTool('test_error_handling', { description: 'Always fails' }, async () => {
    throw new Error('This tool intentionally returns an error for testing');
  });
  server.registerTool(
    'json_schema_2020_12_tool',
    {
      description: 'Tool with JSON Schema 2020-12 features',
      inputSchema: fromJsonSchema<Record<string, unknown>>(structuredClone(JSON_SCHEMA_2020_12)),
    },
    async (input) => text(`Received: ${JSON.stringify(input)}`),
  );
}

function registerStreamingTools(server: McpServer): void {
  server.registerTool('test_tool_with_logging', { description: 'Logs while it runs' }, async ({ mcpReq }) => {
    await mcpReq.log('info', 'Tool execution started');
    await delay(50);
    await mcpReq.log('info', 'Tool processing data');
    await delay(50);
    await mcpReq.log('info', 'Tool execution completed');
    return text('Tool with logging executed');
  });
  server.registerTool('test_tool_with_progress', { description: 'Reports progress' }, async ({ mcpReq }) => {
    const progressToken = mcpReq._meta?.progressToken;
    for (const progress of [0, 50, 100]) {
      if (progressToken !== undefined)
        await mcpReq.notify({
          method: 'notifications/progress',
          params: { progressToken, progress, total: 100 },
        });
      if (progress < 100) await delay(50);
    }
    return text('Tool with progress executed');
  });
  server.registerTool(
    'test_reconnection',
    {
      description: 'Closes its stream in the middle of the call, so that the client resumes (SEP-1699)',
    },
    async ({ http }) => {
      http?.closeSSE?.();
      await delay(100);
      return text('Reconnection test completed');
    },
  );
}

function registerClientTools(server: McpServer): void {
  server.registerTool(
    'test_sampling',
    {
      description: 'Asks the client to sample',
      inputSchema: oneString<{ prompt: string }>('prompt', 'The prompt to send to the LLM'),
    },
    async ({ prompt }, { mcpReq }) => {
      const reply = await mcpReq.requestSampling({
        messages: [{ role: 'user', content: { type: 'text', text: prompt } }],
        maxTokens: 100,
      });
      return text(`LLM response: ${JSON.stringify(reply.content)}`);
    },
  );
  server.registerTool(
    'test_elicitation',
    {
      description: 'Asks the user',
      inputSchema: oneString<{ message: string }>('message', 'The message to show the user'),
    },
    async ({ message }, context) =>
      text(`User response: ${await elicit(context, { message, requestedSchema: USER_FORM })}`),
  );
  const ask = (name: string, requestedSchema: ElicitRequestFormParams['requestedSchema']) =>
    server.registerTool(name, { description: 'Asks the user with a form' }, async (context) =>
      text(
        `Elicitation completed: ${await elicit(context, { message: 'Please fill in the form', requestedSchema })}`,
      ),
    );
  ask('test_elicitation_sep1034_defaults', DEFAULTS_FORM);
  ask('test_elicitation_sep1330_enums', ENUMS_FORM);
}

async function elicit({ mcpReq }: ServerContext, params: ElicitRequestFormParams): Promise<string> {
  const { action, content } = await mcpReq.elicitInput(params);
  return `action=${action}, content=${JSON.stringify(content ?? {})}`;
}

function text(value: string): CallToolResult {
  return { content: [{ type: 'text', text: value }] };
}

function oneString<Input>(name: keyof Input & string, description: string) {
  return fromJsonSchema<Input>({
    type: 'object',
    properties: { [name]: { type: 'string', description } },
    required: [name],
  });
}
