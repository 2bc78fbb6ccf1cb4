"""What IEC 60870-5-101 and -104 share, controlling station: codec (`asdu`), `station` and its parts. [zone: field]"""
