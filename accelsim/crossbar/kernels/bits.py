# mypy: ignore-errors
"""What numba does not offer by itself: bits of words and numbers, and a sum of listed rows kept in registers."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

# A row of a tile: as many single-precision numbers as eight 256-bit registers hold.
TILE_FLOATS = 64
_LANES = 16


@intrinsic
def trailing_zeros(typing_context, word):
    """Index of the lowest set bit of a uint64 other than zero."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), codegen


@intrinsic
def population(typing_context, word):
    """Number of set bits of a uint64."""

    def codegen(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), codegen


@intrinsic
def float_of(typing_context, bits):
    """The float32 with these 32 bits."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.uint32), codegen


@intrinsic
def bits_of(typing_context, number):
    """The 32 bits of a float32."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(32))

    return types.uint32(types.float32), codegen


@intrinsic
def sum_rows(typing_context, tile, listed, count, total):
    """total [64] = sum of `count` rows of a tile [N, 64], in the order of their list; all float32, by address.

    `tile`, `listed` (int32 row numbers) and `total` are the addresses of contiguous data. The sums stay in
    vector registers until the last row is added, which loops over arrays do not achieve.
    """

    def codegen(context, builder, signature, args):
        vector = ir.VectorType(ir.FloatType(), _LANES)
        word, count_type = ir.IntType(32), args[2].type
        tile_at, listed_at, total_at = (
            builder.inttoptr(args[k], ir.PointerType(kind)) for k, kind in ((0, vector), (1, word), (3, vector))
        )
        parts = TILE_FLOATS // _LANES
        before = builder.block
        loop, after = builder.append_basic_block("rows"), builder.append_basic_block("rows.end")
        zero, one = ir.Constant(count_type, 0), ir.Constant(count_type, 1)
        nothing = ir.Constant(vector, [0.0] * _LANES)
        builder.cbranch(builder.icmp_signed(">", args[2], zero), loop, after)

        builder.position_at_end(loop)
        index = builder.phi(count_type)
        index.add_incoming(zero, before)
        sums = [builder.phi(vector) for _ in range(parts)]
        row = builder.zext(builder.load(builder.gep(listed_at, [index]), align=4), ir.IntType(64))
        first = builder.mul(row, ir.Constant(ir.IntType(64), parts))
        added = []
        for part, partial in enumerate(sums):
            partial.add_incoming(nothing, before)
            place = builder.gep(tile_at, [builder.add(first, ir.Constant(ir.IntType(64), part))])
            added.append(builder.fadd(partial, builder.load(place, align=4)))
            partial.add_incoming(added[-1], loop)
        following = builder.add(index, one)
        index.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, args[2]), loop, after)

        builder.position_at_end(after)
        results = [builder.phi(vector) for _ in range(parts)]
        for part, result in enumerate(results):
            result.add_incoming(nothing, before)
            result.add_incoming(added[part], loop)
            place = builder.gep(total_at, [ir.Constant(ir.IntType(64), part)])
            builder.store(result, place, align=4)
        return context.get_dummy_value()

    return types.void(types.uintp, types.uintp, types.int64, types.uintp), codegen
