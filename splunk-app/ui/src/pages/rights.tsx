import Message from "@splunk/react-ui/Message";
import { createContext, type ReactElement, type ReactNode, useContext, useEffect, useState } from "react";
import { readPerson } from "../rest-watch.ts";
import { type Capability, missingOf, missingSentence, type Person } from "../state/rights.ts";

interface Asked {
  /** False before splunkd has answered. */
  readonly isAnswered: boolean;
  /** Undefined also where splunkd did not say it. */
  readonly person: Person | undefined;
}

const PersonContext = createContext<Asked>({ isAnswered: false, person: undefined });

/** Around all pages: asks once who is logged in. */
export function PersonProvider({ children }: { readonly children: ReactNode }): ReactElement {
  const [asked, setAsked] = useState<Asked>({ isAnswered: false, person: undefined });
  useEffect(() => {
    const answered = (person?: Person): void => setAsked({ isAnswered: true, person });
    // What keeps splunkd from answering this is said by the page, which asks it too.
    readPerson().then(answered, () => answered());
  }, []);
  return <PersonContext.Provider value={asked}>{children}</PersonContext.Provider>;
}

/** Undefined while it is not known. */
export function usePerson(): Person | undefined {
  return useContext(PersonContext).person;
}

/** Whether what needs these is offered. */
export function useMay(needs: readonly Capability[]): boolean {
  return missingOf(usePerson(), needs).length === 0;
}

/** The same for what a page does by itself: it waits until splunkd has answered. */
export function useMayAtOnce(needs: readonly Capability[]): boolean {
  const may = useMay(needs);
  return useContext(PersonContext).isAnswered && may;
}

/** What the person lacks of what this page needs; nothing where it lacks nothing. */
export function MissingRights({ needs }: { readonly needs: readonly Capability[] }): ReactElement | null {
  const say = missingSentence(usePerson(), needs);
  return say === "" ? null : <Message type="info">{say}</Message>;
}

interface LockedProps {
  readonly isLocked: boolean;
  readonly children: ReactNode;
}

/** Fields that can be read, and not be changed where it is locked. */
export function Fields({ isLocked, children }: LockedProps): ReactElement {
  return (
    <fieldset disabled={isLocked} style={{ border: 0, margin: 0, padding: 0, minWidth: 0 }}>
      {children}
    </fieldset>
  );
}
