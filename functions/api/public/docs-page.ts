/**
 * The page at `/docs`: Swagger UI over `/openapi.json`. Everything comes from this API, and the page's policy allows nothing
 * else. Addresses are relative to `/docs`.
 */
export const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Strata API</title>
    <link rel="icon" href="docs/favicon-32x32.png">
    <link rel="stylesheet" href="docs/swagger-ui.css">
  </head>
  <body>
    <noscript>The document itself is at <a href="openapi.json">/openapi.json</a>.</noscript>
    <div id="viewer"></div>
    <script src="docs/swagger-ui-bundle.js"></script>
    <script src="docs/open.js"></script>
  </body>
</html>
`;

/** A file of its own, because the policy allows no script inside the page. */
export const SCRIPT = `SwaggerUIBundle({
  url: 'openapi.json',
  dom_id: '#viewer',
  deepLinking: true,
  docExpansion: 'none',
  defaultModelsExpandDepth: 0,
  displayOperationId: true,
  validatorUrl: null,
});
`;

/** Swagger UI sets styles of elements and has its images in the style sheet. */
export const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');
