"""What a count costs: cells, SRAM macros, parts made of them, and the table that prices a ledger."""
