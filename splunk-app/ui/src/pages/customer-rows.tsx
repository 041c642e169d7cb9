/**
 * The rows of the page Customers. Plain elements under one style sheet: Splunk's own components compute their
 * styles anew in each of fifty rows, which takes longer than the pause between two keys in the field Find.
 */
import { buttonMixin } from "@splunk/react-ui/ButtonSimple";
import mixins from "@splunk/themes/mixins";
import pick from "@splunk/themes/pick";
import variables from "@splunk/themes/variables";
import { createContext, memo, type ReactElement, useContext } from "react";
import styled, { css } from "styled-components";
import { type CustomerRow, duration, type State } from "../state/customers.ts";

const SWITCH_HEIGHT = "20px";
const KNOB = "12px";
/** From the inner side of the switch's border. */
const KNOB_MARGIN = "3px";

const chipOn = (color: typeof variables.white) => css`
  background-color: ${color};
  color: ${variables.contentColorInverted};
`;

const LOOKS: Readonly<Record<State, "success" | "info" | "warning" | "error" | "outline">> = {
  ok: "success",
  "catching-up": "info",
  new: "info",
  throttled: "warning",
  "awaiting-consent": "warning",
  silent: "error",
  "no report yet": "warning",
  failing: "error",
  "signed-out": "error",
  misconfigured: "error",
  off: "outline",
};

/** Around the table. Looks as Table, Link, Chip, Switch and Button of @splunk/react-ui do. */
export const CustomerTableStyle = styled.div`
  overflow-x: auto;
  /* Narrower columns cut words off: then the table is scrolled. */
  table {
    min-width: 1120px;
  }
  tbody > tr {
    ${mixins.reset("table-row")};
  }
  tbody > tr:nth-child(even) {
    background-color: ${variables.neutral50};
  }
  td {
    ${mixins.reset("table-cell")};
    ${mixins.typography("body")};
    padding-block: ${pick({ comfortable: "8px", compact: "6px" })};
    padding-inline: ${variables.spacingSmall};
    vertical-align: top;
    overflow-wrap: break-word;
    word-break: break-word;
  }
  td > a {
    ${mixins.reset("inline")};
    cursor: pointer;
    position: relative;
    font-size: inherit;
    font-weight: inherit;
    line-height: inherit;
    color: ${variables.contentColorLink};
    text-decoration: underline;
    &:hover,
    &:active,
    &:focus {
      color: ${variables.contentColorLink};
      text-decoration: underline;
      text-decoration-thickness: 2px;
    }
    &:focus {
      box-shadow: ${variables.focusShadow};
      outline: 0;
    }
    &:focus:active {
      box-shadow: none;
    }
  }
  .mssp-chip {
    ${mixins.reset("grid")};
    ${mixins.typography("body")};
    align-content: center;
    align-items: center;
    box-sizing: border-box;
    width: fit-content;
    max-width: 100%;
    height: ${variables.inputHeight};
    padding: ${variables.spacingXSmall} ${variables.spacingSmall};
    position: relative;
    border-radius: ${variables.borderRadius};
    white-space: nowrap;
  }
  .mssp-success {
    ${chipOn(variables.severityColorNormal)};
  }
  .mssp-info {
    ${chipOn(variables.severityColorInfo)};
  }
  .mssp-warning {
    ${chipOn(variables.severityColorNotice)};
  }
  .mssp-error {
    ${chipOn(variables.severityColorAlert)};
  }
  .mssp-outline {
    background-color: ${variables.transparent};
    color: ${variables.contentColorActive};
    border: 1px solid ${variables.borderColorStrong};
  }
  .mssp-switch {
    ${mixins.reset("block")};
    box-sizing: border-box;
    cursor: pointer;
    position: relative;
    width: calc(${SWITCH_HEIGHT} * 2);
    height: ${SWITCH_HEIGHT};
    margin-block: calc((${variables.inputHeight} - ${SWITCH_HEIGHT}) / 2);
    border: ${variables.inputBorderWidth} solid ${variables.interactiveColorBorder};
    border-radius: calc(${SWITCH_HEIGHT} / 2);
    background-color: ${variables.interactiveColorBackground};
    &:hover {
      border-color: ${variables.interactiveColorBorderHover};
      background-color: ${mixins.overlayColors(
        variables.interactiveColorBackground,
        variables.interactiveColorOverlayHover,
      )};
    }
    &:focus {
      box-shadow: ${variables.focusShadowInset};
    }
    &::before {
      content: "";
      position: absolute;
      left: ${KNOB_MARGIN};
      top: ${KNOB_MARGIN};
      width: ${KNOB};
      height: ${KNOB};
      border-radius: 50%;
      background-color: ${pick({ light: variables.black, dark: variables.white })};
    }
    &[aria-checked="true"] {
      border-color: transparent;
      background-color: ${variables.interactiveColorAccent};
    }
    &[aria-checked="true"]::before {
      left: calc(100% - ${KNOB} - ${KNOB_MARGIN});
      background-color: ${pick({ light: variables.white, dark: variables.black })};
    }
  }
  .mssp-actions {
    display: flex;
    flex-wrap: wrap;
    gap: 4px;
  }
  .mssp-button {
    ${mixins.reset("inline-flex")};
    align-items: center;
    justify-content: center;
    ${buttonMixin("secondary")};
    min-width: ${variables.inputHeight};
    max-width: 100%;
    min-height: ${variables.inputHeight};
    padding: 2px ${variables.spacingSmall};
    line-height: ${variables.lineHeightSpacious};
    text-decoration: none;
    white-space: nowrap;
  }
`;

interface RowActions {
  readonly mayAdd: boolean;
  readonly mayChange: boolean;
  readonly onSwitch: (row: CustomerRow) => void;
  readonly onTest: (row: CustomerRow) => void;
  readonly onDelete: (row: CustomerRow) => void;
}

interface ShownRows extends RowActions {
  readonly rows: readonly CustomerRow[];
  /** When the rows were loaded. */
  readonly nowMs: number;
}

/** Past the table, so that another row does not render the table and its heading. */
export const ShownRowsContext = createContext<ShownRows | undefined>(undefined);

const Row = memo(PlainRow);

/** In the body of the table. */
export function CustomerRows(): ReactElement {
  const shown = useContext(ShownRowsContext);
  return (
    <>
      {shown?.rows.map((row) => (
        <Row
          key={row.name}
          row={row}
          nowMs={shown.nowMs}
          mayAdd={shown.mayAdd}
          mayChange={shown.mayChange}
          onSwitch={shown.onSwitch}
          onTest={shown.onTest}
          onDelete={shown.onDelete}
        />
      ))}
    </>
  );
}

interface RowProps extends RowActions {
  readonly row: CustomerRow;
  readonly nowMs: number;
}

function PlainRow({ row, nowMs, mayAdd, mayChange, onSwitch, onTest, onDelete }: RowProps): ReactElement {
  const { name, tenant, isDisabled } = row;
  const path = encodeURIComponent(name);
  return (
    <tr data-test="customer">
      <td>
        <a href={`#/customer/${path}`}>{tenant}</a>
        <br />
        {row.tenantId}
      </td>
      <td>
        <div className={`mssp-chip mssp-${LOOKS[row.state]}`}>{row.state}</div>
      </td>
      <td>{row.lagS === undefined ? "–" : duration(row.lagS)}</td>
      <td>{row.daysLeft === undefined ? "–" : `${row.daysLeft} days`}</td>
      <td>
        {row.actor !== "" && <strong>{row.actor}</strong>}
        {row.say !== "" && (
          <div>
            {row.say} {row.nextStep}
          </div>
        )}
        {row.reportedMs !== undefined && (
          <div>Reported {duration(Math.max(0, (nowMs - row.reportedMs) / 1000))} ago</div>
        )}
      </td>
      <td>
        {mayChange ? (
          <button
            type="button"
            role="switch"
            className="mssp-switch"
            aria-checked={!isDisabled}
            aria-label={`Collect ${tenant}`}
            onClick={() => onSwitch(row)}
          />
        ) : (
          <>{isDisabled ? "no" : "yes"}</>
        )}
      </td>
      {mayChange && (
        <td>
          <div className="mssp-actions">
            <button type="button" className="mssp-button" aria-label={`Test ${tenant}`} onClick={() => onTest(row)}>
              Test
            </button>
            {mayAdd && (
              <a className="mssp-button" href={`#/add/${path}`} aria-label={`Clone ${tenant}`}>
                Clone
              </a>
            )}
            <button type="button" className="mssp-button" aria-label={`Delete ${tenant}`} onClick={() => onDelete(row)}>
              Delete
            </button>
          </div>
        </td>
      )}
    </tr>
  );
}
