"""Result types of the client. Import them from `aimanager`."""
