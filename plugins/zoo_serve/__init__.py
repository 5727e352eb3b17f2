"""A run behind HTTP: a page to try it, and an API for programs. Needs the extra ``zoo-finetune[serve]``."""

from zoo.serve.app import create_app as create_app
from zoo.serve.limits import Limits as Limits
from zoo.serve.mistakes import Mistakes as Mistakes
from zoo.serve.mistakes import read_mistakes as read_mistakes
from zoo.serve.server import is_loopback as is_loopback
from zoo.serve.server import open_socket as open_socket
from zoo.serve.server import serve as serve
