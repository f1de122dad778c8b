"""The OpenAPI 3.1 document, generated from the declarations of the routes."""

from services.gateway.openapi.document import document, document_text

__all__ = ["document", "document_text"]
