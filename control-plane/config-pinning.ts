import type { ConfigContext } from './config-context.ts';
import type { ConfigFile } from './config-schema.ts';
import type { PinningSettings } from './settings.ts';
import { PinFault, parsePins } from './virtual-server/pin-file.ts';
import type { Pins } from './virtual-server/pins.ts';

const NONE: Pins = new Map();
const PATH = ['pinning', 'file'];

/** `unwritten`: its file need not be there yet. */
export function resolvePinning(
  { pinning, mcpServers }: ConfigFile,
  context: ConfigContext,
  unwritten: boolean,
): PinningSettings | undefined {
  const entries = Object.entries(mcpServers);
  if (pinning === undefined) {
    for (const [name, entry] of entries) {
      if (entry.pinning !== undefined)
        context.problem(['mcpServers', name, 'pinning'], 'there is no pinning section that names a file');
    }
    return undefined;
  }
  const { file, onChange, onNew } = pinning;
  return {
    file: context.path(file),
    approved: readPins(file, context, unwritten),
    rules: new Map(
      entries.map(([name, entry]) => [
        name,
        { onChange: entry.pinning?.onChange ?? onChange, onNew: entry.pinning?.onNew ?? onNew },
      ]),
    ),
  };
}

function readPins(file: string, context: ConfigContext, unwritten: boolean): Pins {
  if (unwritten && !context.isThere(file)) return NONE;
  const problems = context.problems.length;
  const text = context.file(PATH, file);
  if (context.problems.length > problems) return NONE;
  try {
    return parsePins(text);
  } catch (thrown) {
    if (!(thrown instanceof PinFault)) throw thrown;
    context.problem(PATH, `${file}: ${thrown.message}`);
    return NONE;
  }
}
