// Shows the gateway's own document; a token stays in this page, and nobody outside is asked.
"use strict";

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  docExpansion: "list",
  filter: true,
  showExtensions: true,
  validatorUrl: null,
});
