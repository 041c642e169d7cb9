import { crc32, deflateSync } from "node:zlib";

/**
 * A shield with three bars, drawn here so that the icon's source is text. Coordinates are fractions of the
 * square's side.
 */
const BLUE = [0x1f, 0x4e, 0x79] as const;
const WHITE = [0xff, 0xff, 0xff] as const;
/** Samples per pixel and direction: smooth edges. */
const SAMPLES = 4;

export const ICONS: readonly { readonly file: string; readonly width: number; readonly height: number }[] = [
  { file: "static/appIcon.png", width: 36, height: 36 },
  { file: "static/appIcon_2x.png", width: 72, height: 72 },
  { file: "static/appLogo.png", width: 160, height: 40 },
  { file: "static/appLogo_2x.png", width: 320, height: 80 },
];

/** An 8-bit RGBA PNG of the icon, at the left of a transparent ground. */
export function iconPng(width: number, height: number): Buffer {
  const side = Math.min(width, height);
  const rows = Buffer.alloc((width * 4 + 1) * height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) rows.set(pixel(x, y, side), y * (width * 4 + 1) + 1 + x * 4);
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 6, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    chunk("IHDR", head),
    chunk("IDAT", deflateSync(rows, { level: 9 })),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

function pixel(x: number, y: number, side: number): [number, number, number, number] {
  let [red, green, blue, covered] = [0, 0, 0, 0];
  for (let sy = 0; sy < SAMPLES; sy += 1) {
    for (let sx = 0; sx < SAMPLES; sx += 1) {
      const colour = colourAt((x + (sx + 0.5) / SAMPLES) / side, (y + (sy + 0.5) / SAMPLES) / side);
      if (!colour) continue;
      covered += 1;
      red += colour[0];
      green += colour[1];
      blue += colour[2];
    }
  }
  if (covered === 0) return [0, 0, 0, 0];
  return [
    Math.round(red / covered),
    Math.round(green / covered),
    Math.round(blue / covered),
    Math.round((covered / SAMPLES ** 2) * 255),
  ];
}

function colourAt(x: number, y: number): readonly [number, number, number] | undefined {
  if (!inRoundedSquare(x, y)) return undefined;
  if (!inShield(x, y)) return BLUE;
  const bars = [0.34, 0.46, 0.58];
  return bars.some((top, i) => y >= top && y < top + 0.06 && x >= 0.34 && x < (i === 2 ? 0.54 : 0.66)) ? BLUE : WHITE;
}

function inRoundedSquare(x: number, y: number): boolean {
  const [margin, radius] = [0.02, 0.16];
  const dx = Math.max(margin + radius - x, x - (1 - margin - radius), 0);
  const dy = Math.max(margin + radius - y, y - (1 - margin - radius), 0);
  return dx * dx + dy * dy <= radius * radius;
}

/** Straight above, drawn together to a point below, the top edge falling to both sides. */
function inShield(x: number, y: number): boolean {
  const fromMiddle = Math.abs(x - 0.5);
  const top = 0.15 + fromMiddle * 0.33;
  if (y < top) return false;
  const half = y < 0.52 ? 0.3 : 0.3 * Math.sqrt(Math.max(0, 1 - ((y - 0.52) / 0.36) ** 2));
  return fromMiddle <= half;
}

function chunk(type: string, content: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), content]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(content.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
}
