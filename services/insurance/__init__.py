"""The insurance service: free cover for small enterprises, cover and claims for medics."""
