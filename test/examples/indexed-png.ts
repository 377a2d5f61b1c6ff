import { crc32, deflateSync } from 'node:zlib';
import type { BrowserContext } from 'playwright-core';

interface Indexed {
  readonly width: number;
  readonly height: number;
  /** Three bytes a colour. */
  readonly palette: readonly number[];
  /** A byte a pixel, in base64. */
  readonly pixels: string;
}

/** A screenshot in the 256 colours that it has most of, a third as large; others become the nearest of them. */
export async function indexedPng(context: BrowserContext, png: Buffer): Promise<Buffer> {
  const page = await context.newPage();
  const { width, height, palette, pixels } = (await page.evaluate(
    `(${COUNT})('data:image/png;base64,${png.toString('base64')}')`,
  )) as Indexed;
  const bytes = Buffer.from(pixels, 'base64');
  const rows = Array.from({ length: height }, (_, y) => [
    Buffer.alloc(1),
    bytes.subarray(y * width, (y + 1) * width),
  ]);
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  // Eight bits a pixel, by palette.
  head.set([8, 3, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', head),
    chunk('PLTE', Buffer.from(palette)),
    chunk('IDAT', deflateSync(Buffer.concat(rows.flat()), { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  const check = Buffer.alloc(4);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}

/** Runs in the browser, which can read its own pictures. */
const COUNT = `async (source) => {
  const image = await createImageBitmap(await (await fetch(source)).blob());
  const { width, height } = image;
  const context = new OffscreenCanvas(width, height).getContext('2d');
  context.drawImage(image, 0, 0);
  const colours = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
  const counts = new Map();
  for (const colour of colours) counts.set(colour, (counts.get(colour) ?? 0) + 1);
  const kept = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 256).map(([colour]) => colour);
  const parts = (colour) => [colour & 255, (colour >> 8) & 255, (colour >> 16) & 255];
  const palette = kept.map(parts);
  const apart = (a, b) => (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2;
  const indices = new Map(kept.map((colour, index) => [colour, index]));
  for (const colour of counts.keys()) {
    if (indices.has(colour)) continue;
    const own = parts(colour);
    let best = 0;
    for (let index = 1; index < palette.length; index += 1)
      if (apart(own, palette[index]) < apart(own, palette[best])) best = index;
    indices.set(colour, best);
  }
  const pixels = Array.from(colours, (colour) => String.fromCharCode(indices.get(colour))).join('');
  return { width, height, palette: palette.flat(), pixels: btoa(pixels) };
}`;
