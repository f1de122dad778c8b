"""The API described: an OpenAPI 3.1 document made from what the routes are made from."""

from services.gateway.openapi.document import document, document_text

__all__ = ["document", "document_text"]
