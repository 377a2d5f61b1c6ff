/** What a client is asked to do: initialize, list the tools, call some, and go. */
export interface Visit {
  readonly url: string;
  /** In this order, one after another. */
  readonly calls: readonly VisitedTool[];
  /** Sent with every HTTP request, for example an Authorization. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** One call. */
export interface VisitedTool {
  readonly name: string;
  /** Strings only, as a command line can pass no others. */
  readonly arguments: Readonly<Record<string, string>>;
}

/** What a client saw. */
export interface Visited {
  /** The names of all tools, in the order of the server, all pages. */
  readonly tools: readonly string[];
  /** The text of each call's result; an error result is thrown. */
  readonly texts: readonly string[];
}

/** A real public client that pays one visit. It rejects when any step fails, and leaves nothing running. */
export type VisitingClient = (visit: Visit) => Promise<Visited>;

/** The methods that both SDK clients share, as far as a visit needs them. */
interface ToolClient {
  listTools(params?: { cursor: string }): Promise<ToolPage>;
  callTool(params: { name: string; arguments: Readonly<Record<string, string>> }): Promise<unknown>;
}

interface ToolPage {
  readonly tools: readonly { readonly name: string }[];
  readonly nextCursor?: string | undefined;
}

/** Lists all pages of tools and makes the calls, on a client that is connected. */
export async function visitWith(client: ToolClient, visit: Visit): Promise<Visited> {
  const tools: string[] = [];
  let page: ToolPage | undefined;
  do {
    page = await client.listTools(page?.nextCursor === undefined ? undefined : { cursor: page.nextCursor });
    tools.push(...page.tools.map(({ name }) => name));
  } while (page.nextCursor !== undefined);
  const texts: string[] = [];
  for (const call of visit.calls) texts.push(resultText(await client.callTool({ ...call })));
  return { tools, texts };
}

/** The joined text of a tools/call result. */
export function resultText(result: unknown): string {
  const { content, isError } = result as { content: { type: string; text?: string }[]; isError?: boolean };
  const text = content.map((item) => item.text ?? '').join('\n');
  if (isError === true) throw new Error(`the tool answered with an error: ${text}`);
  return text;
}
