import { parseTree } from '../../control-plane/virtual-server/json-tree.ts';
import { formatPins } from '../../control-plane/virtual-server/pin-file.ts';
import { definitionDigest } from '../../control-plane/virtual-server/pins.ts';
import type { ScriptedTool } from './recording-backend.ts';

/** The file that approves these tools, as the recording backend describes them; several of one name are several definitions. */
export function pinFile(tools: Readonly<Record<string, readonly ScriptedTool[]>>): string {
  const backends = Object.entries(tools).map(([backend, list]) => {
    const names = [...new Set(list.map(({ name }) => name))];
    const approved = new Map(
      names.map((name) => [name, list.filter((each) => each.name === name).map((each) => pin(each))]),
    );
    return [backend, { tools: approved, prompts: new Map() }] as const;
  });
  return formatPins(new Map(backends));
}

function pin({ name, definition = {} }: ScriptedTool) {
  const tree = parseTree(JSON.stringify({ name, inputSchema: { type: 'object' }, ...definition }));
  return { digest: definitionDigest(tree), definition: tree };
}
