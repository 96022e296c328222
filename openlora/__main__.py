from ._cli import app

app(prog_name="python -m openledger.openlora")
