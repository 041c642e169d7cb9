/** Something that can be asked for before there is anybody who wants it. */
export interface Early<Asked> {
  askEarly(): void;
  /** What was asked for early, the first time; else it is asked for now. */
  ask(): Asked;
}

export function early<Asked>(askNow: () => Asked): Early<Asked> {
  let asked: { readonly value: Asked } | undefined;
  return {
    askEarly() {
      asked = { value: askNow() };
    },
    ask() {
      const { value } = asked ?? { value: askNow() };
      asked = undefined;
      return value;
    },
  };
}
