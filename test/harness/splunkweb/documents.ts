/**
 * What Splunk Web sends to a browser, as far as a page of an app needs it. (Public sources: the packages
 * @splunk/react-page 8.0.0 and @splunk/splunk-utils 3.4.0, which read all of this.)
 */

export interface PageHost {
  readonly port: number;
  readonly root: string;
  readonly locale: string;
  readonly version: string;
  readonly theme: "light" | "dark";
  readonly app: string;
}

const BUILD = "fa4e000";

/** `/<locale>/config?autoload=1` */
export function configScript({ port, root, locale, version }: PageHost, appBuild: string): string {
  const config = {
    SPLUNKD_PATH: `${root}/${locale}/splunkd/__raw`,
    LOCALE: locale,
    MRSPARKLE_PORT_NUMBER: port,
    MRSPARKLE_ROOT_PATH: root,
    BUILD_NUMBER: BUILD,
    BUILD_PUSH_NUMBER: 0,
    APP_BUILD: appBuild,
    USERNAME: "admin",
    VERSION_LABEL: version,
  };
  return `window.$C = ${JSON.stringify(config)};\n`;
}

export const LAYOUT_SCRIPT = `window.__splunk_layout__ = { create: function () {
  var header = document.createElement("header");
  header.setAttribute("data-view", "splunkjs/mvc/headerview");
  header.textContent = "splunk>enterprise";
  header.style.cssText = "background:#171d21;color:#fff;padding:8px 16px;font:14px sans-serif";
  var main = document.createElement("main");
  document.body.append(header, main);
  return { getContainerElement: function () { return main; } };
} };
`;

export const THEME_SCRIPT = (theme: string): string =>
  `window.__get_theme__ = { getTheme: function () { return Promise.resolve(${JSON.stringify(theme)}); } };\n`;

export function loginPage({ locale }: PageHost, problem = ""): string {
  return `<!doctype html><html lang="${locale}"><title>Login</title><main><h1>Splunk</h1><p>${problem}</p>
<form method="post"><label>Username <input name="username"></label><label>Password <input name="password" type="password"></label>
<button>Sign In</button></form></main></html>`;
}

/** A view that Splunk's own template serves, or a Simple XML dashboard of HTML panels. */
export function viewPage(name: string, xml: string, host: PageHost, appBuild: string): string | undefined {
  const { root, locale, app, version } = host;
  const label = /<label>(.*?)<\/label>/s.exec(xml)?.[1] ?? name;
  const at = (file: string) => `${root}/${locale}/static/@${BUILD}.0:${appBuild}/${file}`;
  const head = `<!doctype html><html lang="${locale}"><head><meta charset="utf-8"><title>${label} | Splunk ${version}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<script src="${root}/${locale}/config?autoload=1"></script><script src="${at("js/i18n.js")}"></script>
<script src="${root}/${locale}/i18ncatalog?autoload=1"></script><script src="${at("build/api/get_theme.js")}"></script></head>`;
  if (/<view\b[^>]*\btemplate="pages\/splunk_ui_app.html"/.test(xml))
    return isBefore104(version)
      ? undefined
      : `${head}<body><script src="${at(`app/${app}/pages/${name}.js`)}"></script></body></html>`;
  const own = /<(?:dashboard|form)\b[^>]*\bscript="([^"]+)"/.exec(xml)?.[1];
  const panels = [...xml.matchAll(/<html>(.*?)<\/html>/gs)].map(([, html = ""]) => `<div class="panel">${html}</div>`);
  const loader = own === undefined ? "" : `<script src="${at(`app/${app}/${own}`)}"></script>`;
  return `${head}<body style="font: 14px/1.5 Arial, sans-serif; color: #3c444d">
<header data-view="splunkjs/mvc/headerview" style="background: #171d21; color: #fff; padding: 8px 16px">splunk&gt;enterprise</header>
<main style="padding: 0 16px"><h1>${label}</h1>${panels.join("")}</main>${loader}</body></html>`;
}

function isBefore104(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major < 10 || (major === 10 && minor < 4);
}
