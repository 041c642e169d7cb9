/** This package brings no types. */
declare module "@splunk/react-page/18" {
  export default function layout(
    element: React.ReactElement,
    options: { readonly pageTitle: string; readonly theme: string },
  ): void;
}
