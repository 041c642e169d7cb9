/*
 * On a dashboard: loads the bundle of the pages as a script of its own, because Splunk's loader of dashboards may
 * run this file by eval and knows no sub-folders for sure.
 */
(function () {
  var page = window.$C || {};
  var root = (page.MRSPARKLE_ROOT_PATH || "").replace(/^\/?(.*?)\/?$/, "/$1").replace(/^\/$/, "");
  var build = [page.BUILD_NUMBER, page.BUILD_PUSH_NUMBER].filter(Boolean).join(".") + ":" + (page.APP_BUILD || 0);
  var script = document.createElement("script");
  script.src = root + "/" + (page.LOCALE || "en-US") + "/static/@" + build + "/app/TA_defender_mssp/pages/defender_mssp.js";
  document.head.appendChild(script);
})();
