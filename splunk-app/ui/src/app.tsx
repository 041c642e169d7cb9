import layout from "@splunk/react-page/18";
import SplunkThemeProvider from "@splunk/themes/SplunkThemeProvider";
import variables from "@splunk/themes/variables";
import { lazy, type ReactElement, Suspense, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import styled from "styled-components";
import { CustomersPage } from "./pages/customers.tsx";
import { Navigation } from "./pages/navigation.tsx";
import { Progress } from "./pages/progress.tsx";
import { PersonProvider } from "./pages/rights.tsx";
import { routeOf } from "./state/route.ts";

// One bundle holds them all; what only these import is evaluated when one of them is opened.
const AddPage = lazy(async () => ({ default: (await import("./pages/add.tsx")).AddPage }));
const CredentialsPage = lazy(async () => ({ default: (await import("./pages/credentials.tsx")).CredentialsPage }));
const EditPage = lazy(async () => ({ default: (await import("./pages/edit.tsx")).EditPage }));
const HealthPage = lazy(async () => ({ default: (await import("./pages/health.tsx")).HealthPage }));
const ImportPage = lazy(async () => ({ default: (await import("./pages/import.tsx")).ImportPage }));
const LogPage = lazy(async () => ({ default: (await import("./pages/log.tsx")).LogPage }));
const SettingsPage = lazy(async () => ({ default: (await import("./pages/settings.tsx")).SettingsPage }));

const Page = styled.div`
  background: ${variables.backgroundColorSection};
  color: ${variables.contentColorDefault};
  font: 14px/1.5 ${variables.sansFontFamily};
  box-sizing: border-box;
  min-height: 90vh;
  max-width: 1400px;
  padding: 16px;
  /* Names and sentences of others may be one long word. */
  h1,
  h2,
  [data-test="help"],
  [data-test="message"] * {
    overflow-wrap: anywhere;
  }
`;

/** The part of the address behind `#` says which page is shown: one view serves them all. */
function App(): ReactElement {
  const [route, setRoute] = useState(location.hash);
  useEffect(() => {
    const changed = (): void => setRoute(location.hash);
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  const { page, name } = routeOf(route);
  return (
    <Page>
      <Navigation current={page === "" ? "customers" : page} />
      <Suspense>
        {page === "health" ? (
          <HealthPage />
        ) : page === "log" ? (
          <LogPage key={name} about={name} />
        ) : page === "settings" ? (
          <SettingsPage />
        ) : page === "add" ? (
          <AddPage key={name} model={name} />
        ) : page === "import" ? (
          <ImportPage />
        ) : page === "credentials" ? (
          <CredentialsPage />
        ) : page === "customer" ? (
          <EditPage key={name} name={name} />
        ) : (
          <CustomersPage />
        )}
      </Suspense>
    </Page>
  );
}

export function showApp(place: HTMLElement): void {
  render(<App />, place);
}

/** In the page that Splunk's own template makes. */
export function showAppInLayout(theme: string): void {
  layout(
    <PersonProvider>
      <App />
    </PersonProvider>,
    { pageTitle: "Customers in Defender", theme },
  );
}

export function showProgress(place: HTMLElement): void {
  render(<Progress />, place);
}

function render(page: ReactElement, place: HTMLElement): void {
  createRoot(place).render(
    <SplunkThemeProvider family="enterprise" colorScheme="light" density="comfortable">
      <PersonProvider>{page}</PersonProvider>
    </SplunkThemeProvider>,
  );
}
