"""The DICOM port's own wire: pynetdicom's association, its sockets, its data path replaced."""
