import { expect, test } from "@jest/globals";
import { roomFor } from "./column-room.ts";

test.each([
  ["Stream", "7ch"],
  ["catching-up", "9ch"],
  ["The customer must act", "9ch"],
  ["/opt/splunk/etc/apps/TA_defender_mssp/local/inputs.conf", "17ch"],
  ["", "0"],
])("a column of %j is %s wide at least, so that no short word is broken", (text, room) => {
  expect(roomFor(text)).toBe(room);
});
