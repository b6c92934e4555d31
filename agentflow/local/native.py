"""llama.cpp through ctypes: what a `LlamaEngine` does in its thread. Every method blocks.

The binding is ik-llama-cpp-python, which carries the library, the layouts of its structures
and some of its functions; those that it lacks are declared here. The interpreter's lock is
free while the library works.
"""

from __future__ import annotations

import ctypes
import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from ctypes import POINTER, c_bool, c_char, c_char_p, c_int32, c_void_p
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from agentflow.errors import EndpointError, LocalProtocolError, UserError

if TYPE_CHECKING:
    from agentflow.local.engine import Sampling

__all__ = ["NativeModel"]

_LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_int, c_char_p, c_void_p)


# Takes the library's log, for nobody; the library holds on to it.
_ignore = _LogCallback(lambda level, text, data: None)

# What the binding does not declare: name, result and arguments.
_DECLARED: tuple[tuple[str, type | None, tuple[type, ...]], ...] = (
    ("llama_grammar_accept_token", None, (c_void_p, c_void_p, c_int32)),
    ("llama_grammar_free", None, (c_void_p,)),
    ("llama_grammar_sample", None, (c_void_p, c_void_p, c_void_p)),
    ("llama_kv_cache_defrag", None, (c_void_p,)),
    ("llama_kv_cache_seq_cp", None, (c_void_p, c_int32, c_int32, c_int32, c_int32)),
    ("llama_kv_cache_seq_rm", c_bool, (c_void_p, c_int32, c_int32, c_int32)),
    ("llama_kv_cache_update", c_int32, (c_void_p,)),
    ("llama_log_set", None, (_LogCallback, c_void_p)),
    ("llama_model_has_encoder", c_bool, (c_void_p,)),
    ("llama_model_has_recurrent", c_bool, (c_void_p,)),
    ("llama_sampler_init_grammar", c_void_p, (c_void_p, c_char_p, c_char_p)),
    ("llama_vocab_bos", c_int32, (c_void_p,)),
    ("llama_vocab_get_add_bos", c_bool, (c_void_p,)),
)
_Pointer: TypeAlias = "int | None"
# A draw is made among so many of the likeliest tokens.
_LIKELY = 256


class NativeModel:
    """A loaded model with a cache of `window` tokens for each of `sequences`.

    Raises `UserError` for a file that can't be loaded. `tokenize` and `piece` may be called
    from any thread, everything else from the one that made it.
    """

    def __init__(self, path: Path, window: int, sequences: int, batch: int, threads: int) -> None:
        from ik_llama_cpp import _ctypes_api as binding

        self._binding = binding
        self._functions = {
            name: ctypes.CFUNCTYPE(result, *arguments)((name, binding._lib))
            for name, result, arguments in _DECLARED
        }
        self._model: _Pointer = None
        self._context: _Pointer = None
        self._counts = [0] * sequences
        self._logits: list[array[float] | None] = [None] * sequences
        self._grammars: list[_Pointer] = [None] * sequences
        self._pieces: dict[int, bytes] = {}
        self._functions["llama_log_set"](_ignore, None)
        binding.llama_backend_init()
        try:
            self._load(path, window * sequences, batch, threads)
        except BaseException:
            self.close()
            raise
        self._batch = binding.llama_batch_init(batch, 0, 1)

    def tokenize(self, text: str, start: bool) -> list[int]:
        """Return the tokens of `text`; names of control tokens become these."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 2
        buffer = (c_int32 * room)()
        count = self._binding.llama_tokenize(self._model, data, len(data), buffer, room, False, True)
        tokens = buffer[:count]
        if start and self._bos is not None and tokens[:1] != [self._bos]:
            return [self._bos, *tokens]
        return list(tokens)

    def piece(self, token: int) -> bytes:
        """Return the bytes that `token` writes."""
        known = self._pieces.get(token)
        if known is None:
            buffer = ctypes.create_string_buffer(512)
            size = self._binding.llama_token_to_piece(self._model, token, buffer, 512, 0, True)
            known = self._pieces[token] = buffer.raw[: max(size, 0)]
        return known

    def evaluate(self, parts: Sequence[tuple[int, Sequence[int]]]) -> None:
        """Add tokens to sequences, of each `(sequence, tokens)` once, and keep what may follow them."""
        batch, at = self._batch, 0
        for sequence, tokens in parts:
            self._logits[sequence] = None
            for position, token in enumerate(tokens, self._counts[sequence]):
                batch.token[at], batch.pos[at] = token, position
                batch.n_seq_id[at], batch.seq_id[at][0] = 1, sequence
                batch.logits[at] = 0
                at += 1
            batch.logits[at - 1] = 1
        batch.n_tokens = at
        decode = self._binding.llama_decode
        if (code := decode(self._context, batch)) == 1:
            # The cache has room, but not in one piece.
            self._functions["llama_kv_cache_defrag"](self._context)
            self._functions["llama_kv_cache_update"](self._context)
            code = decode(self._context, batch)
        if code:
            raise EndpointError(f"llama.cpp could not evaluate {at} tokens (code {code})")
        at = 0
        for sequence, tokens in parts:
            at += len(tokens)
            self._counts[sequence] += len(tokens)
            found = self._binding.llama_get_logits_ith(self._context, at - 1)
            self._logits[sequence] = array("f", ctypes.string_at(found, 4 * self._size))

    def forget(self, sequence: int, keep: int) -> None:
        """Cut `sequence` to its first `keep` tokens."""
        self._functions["llama_kv_cache_seq_rm"](self._context, sequence, keep, -1)
        self._counts[sequence] = keep
        self._logits[sequence] = None

    def lend(self, source: int, target: int, keep: int) -> None:
        """Let `target` hold the first `keep` tokens of `source`: the same places of the cache."""
        self.forget(target, 0)
        self._functions["llama_kv_cache_seq_cp"](self._context, source, target, 0, keep)
        self._counts[target] = keep

    def hold_to(self, sequence: int, grammar: str | None) -> None:
        """Hold what is sampled in `sequence` to `grammar`, from its beginning. Raises `UserError`."""
        if (before := self._grammars[sequence]) is not None:
            self._grammars[sequence] = None
            self._functions["llama_grammar_free"](before)
        if grammar is not None:
            init = self._functions["llama_sampler_init_grammar"]
            made = init(self._vocabulary, grammar.encode(), b"root") if "root" in grammar else None
            if not made:
                raise UserError("the grammar is no valid GBNF with a rule `root`")
            self._grammars[sequence] = made

    def sample(self, sequence: int, sampling: Sampling) -> int | None:
        """Return the next token; None at the text's end, or when nothing may follow."""
        found = self._logits[sequence]
        if found is None:
            raise LocalProtocolError(f"sequence {sequence}: nothing was evaluated to sample from")
        logits = array("f", found)
        grammar, masked = self._grammars[sequence], False
        while True:
            token = self._choose(logits, sampling)
            if math.isnan(logits[token]):
                raise EndpointError("the model computes no numbers: its file is damaged")
            if logits[token] == -math.inf:
                return None
            if grammar is not None and not masked and not self._follows(grammar, token):
                self._mask(grammar, logits)
                masked = True
            elif token in self._ends:
                return None
            elif sampling.allows(token):
                if grammar is not None:
                    self._functions["llama_grammar_accept_token"](grammar, self._context, token)
                return token
            else:
                logits[token] = -math.inf

    def close(self) -> None:
        """Free everything."""
        for sequence in range(len(self._grammars)):
            self.hold_to(sequence, None)
        self._logits.clear()
        context, self._context = self._context, None
        model, self._model = self._model, None
        if context is not None:
            self._binding.llama_batch_free(self._batch)
            self._binding.llama_free(context)
        if model is not None:
            self._binding.llama_free_model(model)

    def _load(self, path: Path, cells: int, batch: int, threads: int) -> None:
        binding, functions = self._binding, self._functions
        options = binding.llama_model_default_params()
        options.n_gpu_layers = 0
        self._model = binding.llama_model_load_from_file(str(path).encode(), options)
        if not self._model:
            raise UserError(
                f"{path} can't be loaded: it is no GGUF model, is damaged, or does not fit into memory"
            )
        if functions["llama_model_has_encoder"](self._model) or functions["llama_model_has_recurrent"](
            self._model
        ):
            raise UserError(f"{path}: a recurrent or encoder model can't be cut back; take a decoder")
        self._vocabulary = binding.llama_model_get_vocab(self._model)
        self._size: int = binding.llama_vocab_n_tokens(self._vocabulary)
        self._table = _Table(range(self._size))
        bos = functions["llama_vocab_bos"](self._vocabulary)
        self._bos: int | None = bos if functions["llama_vocab_get_add_bos"](self._vocabulary) else None
        # A model that opens a new text, or a turn that is not its own, has ended its text.
        self._ends = {bos} | {
            token for token in range(self._size) if binding.llama_token_is_eog(self._model, token)
        }
        shape = binding.llama_context_default_params()
        shape.n_ctx, shape.n_seq_max = cells, len(self._counts)
        shape.n_batch = shape.n_ubatch = batch
        shape.n_threads = shape.n_threads_batch = threads
        # The library's own attention kernels end the process on some processors.
        shape.flash_attn = False
        self._context = binding.llama_init_from_model(self._model, shape)
        if not self._context:
            raise UserError(f"{path}: no memory for a cache of {cells} tokens: give it less context")

    def _choose(self, logits: array[float], sampling: Sampling) -> int:
        binding, context, table = self._binding, self._context, self._table
        table.fill(logits)
        data = table.data(binding)
        if sampling.temperature <= 0:
            return int(binding.llama_sample_token_greedy(context, data))
        binding.llama_sample_temp(context, data, sampling.temperature)
        binding.llama_sample_top_k(context, data, _LIKELY, 1)
        binding.llama_sample_softmax(context, data)
        likely = list(accumulate(table.chances[:_LIKELY]))
        last = min(bisect_left(likely, sampling.top_p), len(likely) - 1)
        place = bisect_right(likely, sampling.draw * likely[last], hi=last)
        return int(table.tokens[place])

    def _follows(self, grammar: int, token: int) -> bool:
        """Return whether `grammar` lets `token` come next."""
        one = _Table([token])
        one.fill(array("f", [0.0]))
        self._functions["llama_grammar_sample"](grammar, self._context, ctypes.byref(one.data(self._binding)))
        return math.isfinite(one.logits[0])

    def _mask(self, grammar: int, logits: array[float]) -> None:
        """Take away from `logits` all that `grammar` does not let come next."""
        table = self._table
        table.fill(logits)
        self._functions["llama_grammar_sample"](
            grammar, self._context, ctypes.byref(table.data(self._binding))
        )
        memoryview(logits)[:] = table.logits


class _Table:
    """Tokens with their logits and chances, laid out as the library samples from them."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._ids = array("i", tokens)
        self._bytes = bytearray(12 * len(tokens))
        self._start = ctypes.addressof(c_char.from_buffer(self._bytes))
        self.tokens = memoryview(self._bytes).cast("i")[0::3]
        self.logits = memoryview(self._bytes).cast("f")[1::3]
        self.chances = memoryview(self._bytes).cast("f")[2::3]

    def fill(self, logits: array[float]) -> None:
        """Put the tokens in their order, with `logits`."""
        self.tokens[:] = memoryview(self._ids)
        self.logits[:] = memoryview(logits)

    def data(self, binding: Any) -> Any:
        """Return the library's view of it."""
        pointer = ctypes.cast(self._start, POINTER(binding.llama_token_data))
        return binding.llama_token_data_array(pointer, len(self._ids), -1, False)
