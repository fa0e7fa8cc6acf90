from ext.ids_py import IdsBase as IdsBase
