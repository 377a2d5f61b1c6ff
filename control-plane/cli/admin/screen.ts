import { setTimeout as sleep } from 'node:timers/promises';
import type { ReadStream } from 'node:tty';
import type { Program } from '../../../shared/lifecycle.ts';
import { clean } from './text.ts';

/** The part of a terminal that a full screen needs. */
export interface ScreenTerminal {
  readonly input: Pick<ReadStream, 'setRawMode' | 'on' | 'off' | 'resume' | 'pause'>;
  write(text: string): void;
}

/** Another screen, with the cursor hidden; and back to what was there before. */
const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const END_OF_LINE = '\u001b[K';
const END_OF_SCREEN = '\u001b[J';
const CTRL_C = '\u0003';
const CTRL_D = '\u0004';

export interface LiveView {
  readonly on: ScreenTerminal;
  readonly intervalMs: number;
  /** What stands there until the first interval is over. */
  readonly first: string;
  look(): Promise<string>;
  height(): number | undefined;
}

const HINT = 'q ends it.';
const USUAL_HEIGHT = 24;

/** Looks again and again until the program stops, or somebody tells it to: then the terminal is as before. */
export async function onScreen({ program }: { readonly program: Program }, view: LiveView): Promise<void> {
  const screen = new Screen(view.on, () => void program.stop('told to'));
  program.defer('screen', () => screen.close());
  for (let text = view.first; !program.stopping.aborted; ) {
    screen.draw(`${text}\n${HINT}`, view.height() ?? USUAL_HEIGHT);
    await pause(program, view.intervalMs);
    if (!program.stopping.aborted) text = await view.look().catch(troubleOf);
  }
  screen.close();
}

/** Resolves at the end of the program, too. */
export async function pause({ stopping }: Pick<Program, 'stopping'>, ms: number): Promise<void> {
  await sleep(ms, undefined, { signal: stopping }).catch(() => {});
}

/** Whoever watches a mesh in trouble wants to see it come back. */
function troubleOf(error: unknown): string {
  return `${clean(error instanceof Error ? error.message : String(error))}\nasking again …\n`;
}

/** The whole terminal, from when it is made until it is closed: then it is as before. Keys other than those to end it do nothing. */
class Screen {
  readonly #terminal: ScreenTerminal;
  readonly #quit: () => void;
  #open = true;

  /** `quit` is called for q, Ctrl-C and Ctrl-D. */
  constructor(terminal: ScreenTerminal, quit: () => void) {
    this.#terminal = terminal;
    this.#quit = quit;
    terminal.input.setRawMode(true);
    terminal.input.on('data', this.#onKey);
    terminal.input.resume();
    terminal.write(ENTER);
  }

  /** Draws over what is there, without a flicker; lines that do not fit are left out. */
  draw(text: string, height: number): void {
    if (!this.#open) return;
    const lines = text.trimEnd().split('\n').slice(0, Math.max(1, height));
    const drawn = lines.map((line) => `${line}${END_OF_LINE}`).join('\r\n');
    this.#terminal.write(`${HOME}${drawn}${END_OF_SCREEN}`);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    const { input } = this.#terminal;
    input.off('data', this.#onKey);
    input.setRawMode(false);
    input.pause();
    this.#terminal.write(LEAVE);
  }

  readonly #onKey = (key: Buffer | string): void => {
    const pressed = String(key);
    if (pressed === 'q' || pressed === 'Q' || pressed.includes(CTRL_C) || pressed === CTRL_D) this.#quit();
  };
}
