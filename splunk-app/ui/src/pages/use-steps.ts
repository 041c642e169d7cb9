import { useEffect, useState } from "react";

export interface Steps {
  readonly step: number;
  readonly forward: () => void;
  readonly back: () => void;
}

/** Steps of a form from 0 on: the browser's Back goes one step back, and nothing that was typed is lost. */
export function useSteps(): Steps {
  const [step, setStep] = useState(0);
  /** An older form may have left entries in the browser's history, and this one has not come so far. */
  const [furthest, setFurthest] = useState(0);
  useEffect(() => {
    const moved = ({ state }: PopStateEvent): void => {
      const to = (state as { readonly step?: unknown } | null)?.step;
      setStep(typeof to === "number" ? Math.min(to, furthest) : 0);
    };
    addEventListener("popstate", moved);
    return () => removeEventListener("popstate", moved);
  }, [furthest]);
  return {
    step,
    forward() {
      history.pushState({ step: step + 1 }, "");
      setStep(step + 1);
      setFurthest(step + 1);
    },
    back: () => history.back(),
  };
}
