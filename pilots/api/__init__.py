"""The northbound REST API `/api/v1/`: parses, asks a service, answers; docs/api.md is its contract. [towards enterprise]"""
