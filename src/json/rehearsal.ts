/**
 * The runtime compiles the scanner's loop for what it has seen so far, and throws the compiled code away each
 * time a byte takes a branch that it has not seen. Rare bytes (an escape, a control character, a broken
 * record) are spread over a whole catch-up, so the loop would be compiled a dozen times, and run
 * uncompiled in between. A rehearsal shows it every branch at once, before the first answer.
 */

/** Each kind of byte and of mistake that a record can hold, and no more of them than needed. */
const RECORDS = [
  String.raw`{"id":"a\u00e9\n\"\\","n":[-1,0,2.50,3e8,4E-1,50],"t":[true,false,null],"o":{"p":{},"q":[],"r":[{"s":"<&>"}]}}`,
  '{ "\\u0069d" : "b\u00e9\u20ac\u{1f600}\ufffe\u0001" , "e" : [ ] , "f" : { } , "g" : [ 1 , "h" ] , "i" : -0 }',
  '{"list":[{"id":"c"} , 7 , "d",[{"e":"f"}]],"id":"g"}',
  '{"id":"h","list":[],"i":1}',
  '{"id":"k","broken":"\\x","l":[{"m":"\\"n"}]}',
  '{"id":"o",broken:[{}]}',
  '{"q":null,"u":true,"v":[],"w":["x","y"],"z":null}',
  "7",
  "[8]",
];
/** Not UTF-8: a lead byte without its rest, and a byte that can begin nothing. */
const INVALID = [...Buffer.from('{"id":"p'), 0xe2, 0x82, 0x41, 0xff, ...Buffer.from('"}')];
/** What a rehearsed loop is run, so that the runtime has begun to keep notes of it before the last run. */
const RUNS = 6;
/** Small enough that each kind of byte is met at a piece's end too. */
const PIECE_BYTES = 5;

/** An answer of the shape `{"value":[…]}` whose elements may hold a `list` of records. */
export function rehearsalAnswer(): Uint8Array {
  return Buffer.concat([
    Buffer.from('\ufeff {"@odata.count" : 9 , "a":{"b":"c"},"value":[ '),
    Buffer.from(RECORDS.join(" , ")),
    Buffer.from(","),
    Buffer.from(INVALID),
    Buffer.from(' ] , "@odata.nextLink":"https://localhost" } \n'),
  ]);
}

/** Gives the answer to `scan`, whole and in pieces. */
export function rehearse(scan: (pieces: readonly Uint8Array[]) => void): void {
  const answer = rehearsalAnswer();
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < answer.length; at += PIECE_BYTES) pieces.push(answer.subarray(at, at + PIECE_BYTES));
  for (let run = 0; run < RUNS; run++) {
    scan([answer]);
    scan(pieces);
  }
}
