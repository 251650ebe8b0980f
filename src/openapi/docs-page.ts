// Absolute paths, so that /docs works with and without a slash at its end; no script or style in the page itself.
export const DOCS_PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>charge-once API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`;

/**
 * Starts Swagger UI so that "Execute" works without setup. Each operation has another Idempotency-Key, new with each
 * visit: the first press of "Execute" takes effect, the second shows the replay.
 * @param apiKey filled in for a reader who has not authorized
 */
export function docsScript(apiKey?: string): string {
  return `function withFreshKeys(document) {
  for (const operations of Object.values(document.paths)) {
    for (const { operationId, parameters } of Object.values(operations)) {
      const key = parameters.find(({ name }) => name === 'Idempotency-Key');
      // Not randomUUID(): browsers have it only over https and on localhost.
      if (key) key.example = operationId + '-' + crypto.getRandomValues(new Uint32Array(4)).join('-');
    }
  }
  return document;
}

const keepsAuthorization = localStorage.getItem('authorized') !== null;
const ui = SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#swagger-ui',
  deepLinking: true,
  // By default the page asks a validator on the internet.
  validatorUrl: null,
  persistAuthorization: true,
  plugins: [
    {
      statePlugins: {
        spec: {
          wrapActions: {
            updateJsonSpec: (original) => (document) => original(withFreshKeys(document)),
          },
        },
      },
    },
  ],
${apiKey === undefined ? '' : `  onComplete: () => keepsAuthorization || ui.preauthorizeApiKey('apiKey', '${apiKey}'),\n`}});
`;
}
