import type { ReactElement } from "react";
import { duration } from "../state/customers.ts";
import type { Point, Span } from "../state/history.ts";

const WIDTH = 240;
const HEIGHT = 32;
/** Seen on the light and on the dark page. */
const LINE = "#3c86d8";

interface PlotProps {
  /** What the plot says, for those who do not see it. */
  readonly label: string;
  readonly children: readonly ReactElement[];
  readonly height?: number;
}

/** 24 hours from left to right. */
function Plot({ label, children, height = HEIGHT }: PlotProps): ReactElement {
  return (
    <svg
      role="img"
      aria-label={label}
      viewBox={`0 0 ${WIDTH} ${height}`}
      preserveAspectRatio="none"
      style={{ display: "block", width: "100%", minWidth: 120, maxWidth: WIDTH, height }}
    >
      <line x1={0} x2={WIDTH} y1={height - 0.5} y2={height - 0.5} stroke="#8a8f98" />
      {children}
    </svg>
  );
}

/** Lag as a line. */
export function LagPlot({ of, points }: { readonly of: string; readonly points: readonly Point[] }): ReactElement {
  const most = Math.max(1, ...points.map(({ value }) => value));
  const at = ({ at: x, value }: Point) => `${x * WIDTH},${HEIGHT - 1 - (value / most) * (HEIGHT - 4)}`;
  const last = points.at(-1);
  return (
    <Plot label={`Lag of ${of} in 24 hours: at most ${duration(most)}, last ${duration(last?.value ?? 0)}`}>
      {[
        <polyline key="line" points={points.map(at).join(" ")} fill="none" stroke={LINE} strokeWidth={2} />,
        ...points.map((point) => (
          <circle
            key={point.at}
            cx={point.at * WIDTH}
            cy={HEIGHT - 1 - (point.value / most) * (HEIGHT - 4)}
            r={1.5}
            fill={LINE}
          />
        )),
      ]}
    </Plot>
  );
}

/** Events as bars, one an hour. */
export function EventsPlot({ of, hours }: { readonly of: string; readonly hours: readonly number[] }): ReactElement {
  const most = Math.max(1, ...hours);
  const sum = hours.reduce((before, one) => before + one, 0);
  const width = WIDTH / hours.length;
  return (
    <Plot label={`Events of ${of} in 24 hours: ${sum}, at most ${Math.max(...hours)} an hour`}>
      {hours.map((count, hour) => {
        const height = count === 0 ? 0 : Math.max(2, (count / most) * (HEIGHT - 2));
        // biome-ignore lint/suspicious/noArrayIndexKey: an hour is its place
        return <rect key={hour} x={hour * width} y={HEIGHT - height} width={width - 1} height={height} fill={LINE} />;
      })}
    </Plot>
  );
}

/** One colour a state; the words stand beside the strip. */
export const STATE_COLOURS: Readonly<Record<string, string>> = {
  ok: "#2e9e5b",
  "catching-up": "#3c86d8",
  throttled: "#d98c00",
  "awaiting-consent": "#d98c00",
  failing: "#d8433c",
  "signed-out": "#d8433c",
  misconfigured: "#d8433c",
  off: "#8a8f98",
};

/** States as a coloured strip. */
export function StateStrip({ of, spans }: { readonly of: string; readonly spans: readonly Span[] }): ReactElement {
  const said = spans.map(({ state, from, to }) => `${state} for ${duration((to - from) * 86_400)}`).join(", then ");
  return (
    <Plot label={`States of ${of} in 24 hours: ${said || "none known"}`} height={18}>
      {spans.map(({ state, from, to }) => (
        <rect
          key={from}
          x={from * WIDTH}
          y={2}
          width={Math.max(1, (to - from) * WIDTH)}
          height={13}
          fill={STATE_COLOURS[state] ?? "#8a8f98"}
        />
      ))}
    </Plot>
  );
}
