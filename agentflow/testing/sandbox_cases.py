"""What hostile policies try: ways out of a sandbox, and ways to fill or stop it.

Each is a source that defines `policy(state)`. An escape finds in `state` what it may look for: `name`,
an environment variable that holds a secret; `file`, a file with the same; `place`, where nothing is
and a file may appear; `port`, a loopback port that somebody listens on; `orders`, a list to change.
In plain Python every one of them succeeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["BOMBS", "ESCAPES", "SandboxCase"]


@dataclass(frozen=True, slots=True)
class SandboxCase:
    """One hostile policy."""

    name: str
    kind: Literal["escape", "bomb"]
    source: str


_FIND = """
    for kind in kinds:
        if kind.__name__ == "_wrap_close":
            return kind.__init__.__globals__["environ"][state["name"]]
"""
_FROM_FRAME = """
    while frame is not None:
        if "bait" in frame.f_locals:
            return frame.f_locals["bait"].secret
        frame = frame.f_back
"""

_ESCAPES = {
    "import": "import os\ndef policy(state):\n    return os.environ[state['name']]",
    "import_late": "def policy(state):\n    from os import getenv\n    return getenv(state['name'])",
    "dunder_import": "def policy(state):\n    return __import__('os').environ[state['name']]",
    "sub_module": (
        "import json\ndef policy(state):\n    return json.codecs.sys.modules['os'].environ[state['name']]"
    ),
    "subprocess": (
        "def policy(state):\n    import subprocess\n"
        "    return subprocess.check_output(['printenv', state['name']]).decode()"
    ),
    "shell": "def policy(state):\n    import os\n    os.system('echo out > ' + state['place'])",
    "open_read": "def policy(state):\n    with open(state['file']) as file:\n        return file.read()",
    "open_write": "def policy(state):\n    with open(state['place'], 'w') as file:\n        file.write('x')",
    "path_read": "from pathlib import Path\ndef policy(state):\n    return Path(state['file']).read_text()",
    "builtins": (
        "def policy(state):\n    with __builtins__['open'](state['file']) as file:\n"
        "        return file.read()"
    ),
    "exec": (
        "def policy(state):\n    names = {}\n    exec('import os\\nfound = os.environ', names)\n"
        "    return names['found'][state['name']]"
    ),
    "eval": "def policy(state):\n    return eval('__import__(\"os\").environ')[state['name']]",
    "compile": (
        "def policy(state):\n    code = compile('__import__(\"os\").environ', 'x', 'eval')\n"
        "    return eval(code)[state['name']]"
    ),
    "subclasses": (
        "def policy(state):\n    kinds = ().__class__.__base__.__subclasses__()" + _FIND  # a chain of dunders
    ),
    "composed_name": (
        "def policy(state):\n    base = getattr(getattr((), '__cla' + 'ss__'), '__ba' + 'se__')\n"
        "    kinds = getattr(base, '__subcla' + 'sses__')()" + _FIND
    ),
    "type": "def policy(state):\n    kinds = type.__subclasses__(type(1).mro()[-1])" + _FIND,
    "globals": (
        "def policy(state):\n    found = policy.__globals__['__builtins__']['__import__']('os')\n"
        "    return found.environ[state['name']]"
    ),
    "format_string": (
        "def policy(state):\n    path = '[__builtins__][copyright].__init__.__globals__[sys].modules[os]'\n"
        "    return ('{0.__globals__' + path + '.environ[' + state['name'] + ']}').format(policy)"
    ),
    "frame": "def policy(state):\n    import sys\n    frame = sys._getframe()" + _FROM_FRAME,
    "traceback": (
        "def policy(state):\n    try:\n        1 / 0\n    except ZeroDivisionError as error:\n"
        "        frame = error.__traceback__.tb_frame" + _FROM_FRAME
    ),
    "generator_frame": (
        "def policy(state):\n    found = (x for x in [1]).gi_frame.f_builtins['__import__']('os')\n"
        "    return found.environ[state['name']]"
    ),
    "match_attribute": (
        "def policy(state):\n    match policy:\n        case object(__globals__=names):\n"
        "            return names['__builtins__']['__import__']('os').environ[state['name']]"
    ),
    "socket": (
        "def policy(state):\n    import socket\n"
        "    socket.create_connection(('127.0.0.1', state['port']), 1).close()"
    ),
    "change_the_state": "def policy(state):\n    state['orders'].append('out')\n    state['name'] = 'out'",
}

_BOMBS = {
    "loop": "def policy(state):\n    while True:\n        pass",
    "loop_while_loading": "while True:\n    pass\ndef policy(state):\n    return 1",
    "nested_loops": (
        "def policy(state):\n    n = 0\n    for a in range(10**5):\n        for b in range(10**5):\n"
        "            for c in range(10**5):\n                n += 1\n    return n"
    ),
    "power": "def policy(state):\n    return len(str(9**9**9))",
    "string": "def policy(state):\n    text = 'x'\n    while True:\n        text += text",
    "list": "def policy(state):\n    found = []\n    while True:\n        found.append('x' * 1000)",
    "dict": (
        "def policy(state):\n    found = {}\n    n = 0\n    while True:\n"
        "        found[n] = str(n)\n        n += 1"
    ),
    "recursion": (
        "def deep(n):\n    try:\n        return deep(n + 1)\n    except Exception:\n        return deep(n)\n"
        "def policy(state):\n    while True:\n        try:\n            deep(0)\n"
        "        except Exception:\n            pass"
    ),
    "pattern": (
        "import re\ndef policy(state):\n    return bool(re.match('(a+)+' + chr(92) + '1$', 'a' * 40 + 'b'))"
    ),
    "sum": "def policy(state):\n    return sum(range(10**15))",
    "slow_key": (
        "def slow(x):\n    n = 0\n    while n < 10**9:\n        n += 1\n    return n\n"
        "def policy(state):\n    return sorted(range(1000), key=slow)"
    ),
    "compare": (
        "def policy(state):\n    a, b = [], []\n    for n in range(40):\n        a, b = [a, a], [b, b]\n"
        "    return a == b"
    ),
    "no_end": "import itertools\ndef policy(state):\n    return list(itertools.count())",
    "exceptions": (
        "def policy(state):\n    last = ValueError('x')\n    while True:\n        try:\n            try:\n"
        "                raise last\n            except ValueError as error:\n"
        "                raise ValueError('x' * 1000) from error\n"
        "        except ValueError as error:\n            last = error"
    ),
    # A few bytes inside; a billion lists for whoever rebuilds it outside.
    "shared_result": (
        "def policy(state):\n    found = []\n    for n in range(30):\n        found = [found, found]\n"
        "    return found"
    ),
    "deep_result": (
        "def policy(state):\n    found = []\n    for n in range(100000):\n        found = [found]\n"
        "    return found"
    ),
    "large_result": "def policy(state):\n    return ['x'] * 10**6",
    "print": "def policy(state):\n    while True:\n        print('x' * 10000)",
}

ESCAPES = tuple(SandboxCase(name, "escape", source + "\n") for name, source in _ESCAPES.items())
BOMBS = tuple(SandboxCase(name, "bomb", source + "\n") for name, source in _BOMBS.items())
