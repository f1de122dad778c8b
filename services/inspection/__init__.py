"""The inspection service: finds faults on site and has them rectified."""
