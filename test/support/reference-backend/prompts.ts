import { fromJsonSchema, type McpServer } from '@modelcontextprotocol/server';
import { RED_PIXEL_PNG } from './media.ts';

/** Registers the four prompts of the conformance suite and the completion of their arguments. */
export function registerPrompts(server: McpServer): void {
  server.registerPrompt('test_simple_prompt', { description: 'A prompt without arguments' }, async () => ({
    messages: [user({ type: 'text', text: 'This is a simple prompt for testing.' })],
  }));
  server.registerPrompt(
    'test_prompt_with_arguments',
    {
      description: 'A prompt with two required arguments',
      argsSchema: strings<{ arg1: string; arg2: string }>({
        arg1: 'First test argument',
        arg2: 'Second test argument',
      }),
    },
    async ({ arg1, arg2 }) => ({
      messages: [
        user({
          type: 'text',
          text: `Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`,
        }),
      ],
    }),
  );
  server.registerPrompt(
    'test_prompt_with_embedded_resource',
    {
      description: 'A prompt that embeds a resource',
      argsSchema: strings<{ resourceUri: string }>({
        resourceUri: 'URI of the resource to embed',
      }),
    },
    async ({ resourceUri }) => ({
      messages: [
        user({
          type: 'resource',
          resource: {
            uri: resourceUri,
            mimeType: 'text/plain',
            text: 'Embedded resource content for testing.',
          },
        }),
        user({
          type: 'text',
          text: 'Please process the embedded resource above.',
        }),
      ],
    }),
  );
  server.registerPrompt('test_prompt_with_image', { description: 'A prompt with an image' }, async () => ({
    messages: [
      user({ type: 'image', data: RED_PIXEL_PNG, mimeType: 'image/png' }),
      user({ type: 'text', text: 'Please analyze the image above.' }),
    ],
  }));
  server.server.setRequestHandler('completion/complete', async ({ params }) => {
    const values = ['paris', 'park', 'party'].filter((value) => value.startsWith(params.argument.value));
    return { completion: { values, total: values.length, hasMore: false } };
  });
}

function user<Content>(content: Content): { role: 'user'; content: Content } {
  return { role: 'user', content };
}

function strings<Arguments>(descriptions: Record<keyof Arguments & string, string>) {
  const names = Object.keys(descriptions);
  const entries = Object.entries(descriptions).map(([name, description]) => [
    name,
    { type: 'string', description },
  ]);
  return fromJsonSchema<Arguments>({
    type: 'object',
    properties: Object.fromEntries(entries),
    required: names,
  });
}
