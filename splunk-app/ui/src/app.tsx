import layout from "@splunk/react-page/18";
import { getUserTheme } from "@splunk/splunk-utils/themes";
import SplunkThemeProvider from "@splunk/themes/SplunkThemeProvider";
import variables from "@splunk/themes/variables";
import { type ReactElement, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import styled from "styled-components";
import { AddPage } from "./pages/add.tsx";
import { CredentialsPage } from "./pages/credentials.tsx";
import { CustomersPage } from "./pages/customers.tsx";
import { EditPage } from "./pages/edit.tsx";
import { HealthPage } from "./pages/health.tsx";
import { ImportPage } from "./pages/import.tsx";
import { LogPage } from "./pages/log.tsx";
import { Navigation } from "./pages/navigation.tsx";
import { Progress } from "./pages/progress.tsx";
import { SettingsPage } from "./pages/settings.tsx";
import { routeOf } from "./state/route.ts";

const Page = styled.div`
  background: ${variables.backgroundColorSection};
  color: ${variables.contentColorDefault};
  font: 14px/1.5 ${variables.sansFontFamily};
  box-sizing: border-box;
  min-height: 90vh;
  max-width: 1400px;
  padding: 16px;
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
    </Page>
  );
}

function render(page: ReactElement, place: HTMLElement): void {
  createRoot(place).render(
    <SplunkThemeProvider family="enterprise" colorScheme="light" density="comfortable">
      {page}
    </SplunkThemeProvider>,
  );
}

const onDashboard = document.getElementById("defender_mssp_pages");
const onStart = document.getElementById("defender_mssp_progress");
if (onDashboard !== null) render(<App />, onDashboard);
else if (onStart !== null) render(<Progress />, onStart);
else void getUserTheme().then((theme) => layout(<App />, { pageTitle: "Customers in Defender", theme }));
