"""What a traced function computes with: an object for each kind that an eager run would see.

    Value            TracedValue        array of floats      TracedArray
    a number         TracedNumber       array of integers    TracedArray of TracedIndex
    a bool           Condition          results of vmap      Batch
                                        results of scan      Series

Python operations on them go in, records on a tape come out. What Python asks of a stand-in is
answered as the eager object would answer it, or refused with the user's line and what to write.
"""
